/* Painting, reading and pair forces of particles for XLA on CPUs; compiled at first use. */

#include <math.h>

#include "frame.h"

enum { SPREAD, GATHER, SPREAD_SLOPE, GATHER_SLOPE, SLOPE };

#define REAL float
#define FLOOR floorf
#define NAME(x) x##_f32
#include "painting.h"
#undef REAL
#undef FLOOR
#undef NAME

#define REAL double
#define FLOOR floor
#define NAME(x) x##_f64
#include "painting.h"
#undef REAL
#undef FLOOR
#undef NAME

/* Operands are positions, then the others of painting_jax.py in their order. */
#define PAINTING(name, which, w, f, v)                                                            \
  XLA_FFI_Error *name(XLA_FFI_CallFrame *frame) {                                                 \
    if (asks_version(frame) || frame->stage != XLA_FFI_ExecutionStage_EXECUTE) return NULL;       \
    const XLA_FFI_Buffer *x = operand(frame, 0);                                                  \
    if (x->dtype == XLA_FFI_DataType_F32)                                                         \
      paint_f32(frame, which, x, w, f, v);                                                        \
    else if (x->dtype == XLA_FFI_DataType_F64)                                                    \
      paint_f64(frame, which, x, w, f, v);                                                        \
    else                                                                                          \
      return failure(frame, XLA_FFI_Error_Code_INVALID_ARGUMENT, #name ": not float32, float64"); \
    return NULL;                                                                                  \
  }
PAINTING(volvelle_spread, SPREAD, operand(frame, 1), NULL, NULL)
PAINTING(volvelle_gather, GATHER, NULL, operand(frame, 1), NULL)
PAINTING(volvelle_spread_slope, SPREAD_SLOPE, operand(frame, 1), NULL, operand(frame, 2))
PAINTING(volvelle_gather_slope, GATHER_SLOPE, NULL, operand(frame, 1), operand(frame, 2))
PAINTING(volvelle_slope, SLOPE, operand(frame, 2), operand(frame, 1), NULL)
