/* What XLA hands to a function of this library, looked at by name; and threads. */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "xla/ffi/api/c_api.h"

#define MOST_THREADS 64

/* Extra work is not worth a thread below this many particles. */
#define FEWEST_PER_THREAD 4096

typedef XLA_FFI_CallFrame Frame;

/* True where XLA only asks which version of its interface this was compiled for. */
static int asks_version(Frame *frame) {
  XLA_FFI_Extension_Base *base = frame->extension_start;
  if (base == NULL || base->type != XLA_FFI_Extension_Metadata) return 0;
  XLA_FFI_Metadata *metadata = ((XLA_FFI_Metadata_Extension *)base)->metadata;
  metadata->api_version.major_version = XLA_FFI_API_MAJOR;
  metadata->api_version.minor_version = XLA_FFI_API_MINOR;
  metadata->traits = 0;
  return 1;
}

static XLA_FFI_Error *failure(Frame *frame, XLA_FFI_Error_Code code, const char *message) {
  XLA_FFI_Error_Create_Args args;
  memset(&args, 0, sizeof args);
  args.struct_size = XLA_FFI_Error_Create_Args_STRUCT_SIZE;
  args.message = message;
  args.errc = code;
  return frame->api->XLA_FFI_Error_Create(&args);
}

static const XLA_FFI_Buffer *operand(Frame *frame, int number) {
  return (const XLA_FFI_Buffer *)frame->args.args[number];
}

static const XLA_FFI_Buffer *result(Frame *frame, int number) {
  return (const XLA_FFI_Buffer *)frame->rets.rets[number];
}

static const void *attribute(Frame *frame, const char *name) {
  for (int64_t i = 0; i < frame->attrs.size; ++i) {
    XLA_FFI_ByteSpan *span = frame->attrs.names[i];
    if (span->len == strlen(name) && memcmp(span->ptr, name, span->len) == 0)
      return frame->attrs.types[i] == XLA_FFI_AttrType_SCALAR
                 ? ((const XLA_FFI_Scalar *)frame->attrs.attrs[i])->value
                 : ((const XLA_FFI_Array *)frame->attrs.attrs[i])->data;
  }
  return NULL;
}

static int64_t whole(Frame *frame, const char *name) {
  return *(const int64_t *)attribute(frame, name);
}

static double real(Frame *frame, const char *name) {
  return *(const double *)attribute(frame, name);
}

/* The product of all but the last `kept` dimensions: of a batch. */
static int64_t batches(const XLA_FFI_Buffer *buffer, int kept) {
  int64_t total = 1;
  for (int64_t i = 0; i < buffer->rank - kept; ++i) total *= buffer->dims[i];
  return total;
}

/* A share of work: part `number` of `total`. */
typedef struct Share {
  void (*work)(const void *task, int number, int total);
  const void *task;
  int number, total;
} Share;

static void *run_share(void *given) {
  const Share *share = given;
  share->work(share->task, share->number, share->total);
  return NULL;
}

/* All shares, each on a thread of its own; on this one where a thread cannot be had. */
static void share_out(void (*work)(const void *, int, int), const void *task, int total) {
  Share shares[MOST_THREADS];
  pthread_t threads[MOST_THREADS];
  int started[MOST_THREADS];
  for (int i = 1; i < total; ++i) {
    shares[i] = (Share){work, task, i, total};
    started[i] = pthread_create(&threads[i], NULL, run_share, &shares[i]) == 0;
  }
  work(task, 0, total);
  for (int i = 1; i < total; ++i) {
    if (started[i])
      pthread_join(threads[i], NULL);
    else
      run_share(&shares[i]);
  }
}

static int threads_for(Frame *frame, int64_t particles) {
  int64_t asked = whole(frame, "threads"), most = 1 + particles / FEWEST_PER_THREAD;
  if (asked > most) asked = most;
  if (asked > MOST_THREADS) asked = MOST_THREADS;
  return asked < 1 ? 1 : (int)asked;
}
