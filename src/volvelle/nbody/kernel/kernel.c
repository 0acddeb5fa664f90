/* Painting, reading and pair forces of particles for XLA on CPUs; compiled at first use. */

#include <math.h>
#include <stdatomic.h>

#include "frame.h"

/* Of pairs: particles per cube of the cutoff from which on cells are finer, and lanes of a vector.
   TERMS, the coefficients of the short part, comes with the command. */
#define MANY 24
#define LANES 16

/* Particles that ask for their cells together. */
#define BLOCK 32

enum { SPREAD, GATHER, SPREAD_SLOPE, GATHER_SLOPE, SLOPE };

#define REAL float
#define FLOOR floorf
#define SQRT sqrtf
#define NAME(x) x##_f32
#include "painting.h"
#include "pairs.h"
#undef REAL
#undef FLOOR
#undef SQRT
#undef NAME

#define REAL double
#define FLOOR floor
#define SQRT sqrt
#define NAME(x) x##_f64
#include "painting.h"
#include "pairs.h"
#undef REAL
#undef FLOOR
#undef SQRT
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

#define PAIRS(name, v)                                                                            \
  XLA_FFI_Error *name(XLA_FFI_CallFrame *frame) {                                                 \
    if (asks_version(frame) || frame->stage != XLA_FFI_ExecutionStage_EXECUTE) return NULL;       \
    const XLA_FFI_Buffer *x = operand(frame, 0);                                                  \
    if (x->dtype != XLA_FFI_DataType_F32 && x->dtype != XLA_FFI_DataType_F64)                     \
      return failure(frame, XLA_FFI_Error_Code_INVALID_ARGUMENT, #name ": not float32, float64"); \
    if (x->dtype == XLA_FFI_DataType_F32 ? pull_f32(frame, x, v) : pull_f64(frame, x, v))         \
      return NULL;                                                                                \
    return failure(frame, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED, #name ": no memory");            \
  }
PAIRS(volvelle_pull, NULL)
PAIRS(volvelle_pull_slope, operand(frame, 1))
