/* Sums over the mesh points around particles, for one precision: REAL, FLOOR and NAME(x).

   The five sums of painting_jax.py. Arrays are in C order: positions [N, 3], weights [N, C], fields
   [C, n, n, n]. `order` is a constant in every function that it reaches, so that loops unroll. */

typedef struct NAME(Sum) {
  int64_t cells, particles, columns;
  double box_size;
  const REAL *x, *w, *v, *f;
  REAL *out;
  void (*part)(const struct NAME(Sum) *, int64_t first, int64_t last);
} NAME(Sum);

/* Mesh points, weights and their derivatives along one axis. A position that is no number has weights
   that are none, at the first points of the mesh. */
static inline __attribute__((always_inline)) void NAME(support)(
    const int order, int64_t n, REAL scale, REAL x, int64_t *index, REAL *w, REAL *s) {
  const REAL u = x * scale;
  const REAL base = FLOOR(order % 2 ? u + (REAL)0.5 : u), d = u - base;
  const REAL turned = base - (REAL)n * FLOOR(base * (1 / (REAL)n));
  int64_t first = turned >= -1 && turned <= (REAL)n ? (int64_t)turned : 0;
  first -= order > 2;
  for (int k = 0; k < order; ++k) {
    int64_t at = first + k;
    while (at >= n) at -= n;
    while (at < 0) at += n;
    index[k] = at;
  }
  if (order == 1) {
    w[0] = 1 + 0 * d;
    s[0] = 0 * d;
  } else if (order == 2) {
    w[0] = 1 - d, w[1] = d;
    s[0] = -scale, s[1] = scale;
  } else if (order == 3) {
    const REAL low = (REAL)0.5 - d, high = (REAL)0.5 + d;
    w[0] = (REAL)0.5 * low * low, w[1] = (REAL)0.75 - d * d, w[2] = (REAL)0.5 * high * high;
    s[0] = -scale * low, s[1] = -2 * scale * d, s[2] = scale * high;
  } else {
    const REAL e = 1 - d, third = (REAL)(2.0 / 3.0), sixth = (REAL)(1.0 / 6.0);
    w[0] = sixth * e * e * e, w[3] = sixth * d * d * d;
    w[1] = third - d * d * (1 - (REAL)0.5 * d), w[2] = third - e * e * (1 - (REAL)0.5 * e);
    s[0] = scale * (REAL)-0.5 * e * e, s[3] = scale * (REAL)0.5 * d * d;
    s[1] = scale * d * ((REAL)1.5 * d - 2), s[2] = -scale * e * ((REAL)1.5 * e - 2);
  }
}

/* Where a particle is: rows of points along z, and what they count. */
typedef struct NAME(Rows) {
  int64_t rows[16], k[4];
  REAL weights[16], changes[16], wz[4], sz[4];
} NAME(Rows);

/* The rows around a particle, -1 where not on the planes first <= x < last; false where none is. */
static inline __attribute__((always_inline)) int NAME(locate)(
    const int order, const int moving, const NAME(Sum) * sum, int64_t p, int64_t first,
    int64_t last, NAME(Rows) * at) {
  const int64_t n = sum->cells;
  const REAL scale = (REAL)(n / sum->box_size);
  const REAL *x = sum->x + 3 * p, *v = moving ? sum->v + 3 * p : NULL;
  int64_t i[4], j[4];
  REAL wx[4], wy[4], sx[4], sy[4];
  int here = 0;
  NAME(support)(order, n, scale, x[0], i, wx, sx);
  for (int a = 0; a < order; ++a) here |= i[a] >= first && i[a] < last;
  if (!here) return 0;
  NAME(support)(order, n, scale, x[1], j, wy, sy);
  NAME(support)(order, n, scale, x[2], at->k, at->wz, at->sz);
  for (int a = 0; a < order; ++a)
    for (int b = 0; b < order; ++b) {
      const int r = a * order + b;
      at->rows[r] = i[a] >= first && i[a] < last ? (i[a] * n + j[b]) * n : -1;
      at->weights[r] = (moving ? v[2] : 1) * wx[a] * wy[b];
      if (moving) at->changes[r] = v[0] * sx[a] * wy[b] + v[1] * wx[a] * sy[b];
    }
  return 1;
}

/* spread and spread_slope: onto the planes first <= x < last only, which belong to one thread. The
   sum of every cell runs over particles in their order, however many threads there are. A block of
   particles asks for its cells before it adds to any: memory answers while others are asked for. */
static inline __attribute__((always_inline)) void NAME(deposit)(
    const int order, const int moving, const NAME(Sum) * sum, int64_t first, int64_t last) {
  const int64_t n = sum->cells, plane = n * n, columns = sum->columns;
  NAME(Rows) block[BLOCK];
  int64_t which[BLOCK];
  for (int64_t c = 0; c < columns; ++c)
    memset(sum->out + (c * n + first) * plane, 0, sizeof(REAL) * (size_t)((last - first) * plane));
  for (int64_t from = 0; from < sum->particles; from += BLOCK) {
    const int64_t end = sum->particles - from < BLOCK ? sum->particles : from + BLOCK;
    int64_t size = 0;
    for (int64_t p = from; p < end; ++p) {
      if (!NAME(locate)(order, moving, sum, p, first, last, block + size)) continue;
      for (int r = 0; r < order * order; ++r)
        if (block[size].rows[r] >= 0)
          __builtin_prefetch(sum->out + block[size].rows[r] + block[size].k[0], 1);
      which[size++] = p;
    }
    for (int64_t q = 0; q < size; ++q) {
      const NAME(Rows) *at = block + q;
      for (int64_t c = 0; c < columns; ++c) {
        const REAL weight = sum->w[which[q] * columns + c];
        for (int r = 0; r < order * order; ++r) {
          if (at->rows[r] < 0) continue;
          REAL *row = sum->out + c * n * plane + at->rows[r];
          const REAL both = weight * at->weights[r];
          const REAL across = moving ? weight * at->changes[r] : 0;
          for (int z = 0; z < order; ++z)
            row[at->k[z]] += moving ? across * at->wz[z] + both * at->sz[z] : both * at->wz[z];
        }
      }
    }
  }
}

/* gather and gather_slope of the particles first to last, in blocks too. */
static inline __attribute__((always_inline)) void NAME(collect)(
    const int order, const int moving, const NAME(Sum) * sum, int64_t first, int64_t last) {
  const int64_t n = sum->cells, columns = sum->columns, points = n * n * n;
  NAME(Rows) block[BLOCK];
  for (int64_t from = first; from < last; from += BLOCK) {
    const int64_t size = last - from < BLOCK ? last - from : BLOCK;
    for (int64_t q = 0; q < size; ++q) {
      NAME(locate)(order, moving, sum, from + q, 0, n, block + q);
      for (int r = 0; r < order * order; ++r)
        for (int64_t c = 0; c < columns; ++c)
          __builtin_prefetch(sum->f + c * points + block[q].rows[r] + block[q].k[0]);
    }
    for (int64_t q = 0; q < size; ++q) {
      const NAME(Rows) *at = block + q;
      for (int64_t c = 0; c < columns; ++c) {
        REAL total = 0;
        for (int r = 0; r < order * order; ++r) {
          const REAL *row = sum->f + c * points + at->rows[r];
          REAL value = 0, change = 0;
          for (int z = 0; z < order; ++z) {
            value += at->wz[z] * row[at->k[z]];
            if (moving) change += at->sz[z] * row[at->k[z]];
          }
          total += moving ? at->changes[r] * value + at->weights[r] * change
                          : at->weights[r] * value;
        }
        sum->out[(from + q) * columns + c] = total;
      }
    }
  }
}

/* slope of the particles first to last. */
static inline __attribute__((always_inline)) void NAME(incline)(
    const int order, const NAME(Sum) * sum, int64_t first, int64_t last) {
  const int64_t n = sum->cells, columns = sum->columns;
  const REAL scale = (REAL)(n / sum->box_size);
  for (int64_t p = first; p < last; ++p) {
    int64_t i[4], j[4], k[4];
    REAL wx[4], wy[4], wz[4], sx[4], sy[4], sz[4], gx = 0, gy = 0, gz = 0;
    const REAL *x = sum->x + 3 * p;
    NAME(support)(order, n, scale, x[0], i, wx, sx);
    NAME(support)(order, n, scale, x[1], j, wy, sy);
    NAME(support)(order, n, scale, x[2], k, wz, sz);
    for (int64_t c = 0; c < columns; ++c) {
      const REAL weight = sum->w[p * columns + c];
      for (int a = 0; a < order; ++a) {
        for (int b = 0; b < order; ++b) {
          const REAL *row = sum->f + ((c * n + i[a]) * n + j[b]) * n;
          REAL value = 0, change = 0;
          for (int z = 0; z < order; ++z) {
            value += wz[z] * row[k[z]];
            change += sz[z] * row[k[z]];
          }
          gx += weight * sx[a] * wy[b] * value;
          gy += weight * wx[a] * sy[b] * value;
          gz += weight * wx[a] * wy[b] * change;
        }
      }
    }
    REAL *out = sum->out + 3 * p;
    out[0] = gx, out[1] = gy, out[2] = gz;
  }
}

#define FOR_ORDER(which, order)                                                                   \
  static void NAME(which##_spread_##order)(const NAME(Sum) * s, int64_t a, int64_t b) {           \
    NAME(deposit)(order, 0, s, a, b);                                                             \
  }                                                                                               \
  static void NAME(which##_spread_slope_##order)(const NAME(Sum) * s, int64_t a, int64_t b) {     \
    NAME(deposit)(order, 1, s, a, b);                                                             \
  }                                                                                               \
  static void NAME(which##_gather_##order)(const NAME(Sum) * s, int64_t a, int64_t b) {           \
    NAME(collect)(order, 0, s, a, b);                                                             \
  }                                                                                               \
  static void NAME(which##_gather_slope_##order)(const NAME(Sum) * s, int64_t a, int64_t b) {     \
    NAME(collect)(order, 1, s, a, b);                                                             \
  }                                                                                               \
  static void NAME(which##_slope_##order)(const NAME(Sum) * s, int64_t a, int64_t b) {            \
    NAME(incline)(order, s, a, b);                                                                \
  }
FOR_ORDER(of, 1)
FOR_ORDER(of, 2)
FOR_ORDER(of, 3)
FOR_ORDER(of, 4)
#undef FOR_ORDER

typedef void (*NAME(Part))(const NAME(Sum) *, int64_t, int64_t);
#define OF_ORDERS(name) \
  {NAME(of_##name##_1), NAME(of_##name##_2), NAME(of_##name##_3), NAME(of_##name##_4)}
static const NAME(Part) NAME(parts)[5][4] = {
    OF_ORDERS(spread), OF_ORDERS(gather), OF_ORDERS(spread_slope), OF_ORDERS(gather_slope),
    OF_ORDERS(slope)};
#undef OF_ORDERS

static void NAME(share_planes)(const void *task, int number, int total) {
  const NAME(Sum) *sum = task;
  sum->part(sum, sum->cells * number / total, sum->cells * (number + 1) / total);
}

static void NAME(share_particles)(const void *task, int number, int total) {
  const NAME(Sum) *sum = task;
  sum->part(sum, sum->particles * number / total, sum->particles * (number + 1) / total);
}

/* One of the sums, batch by batch; arrays that it does not have are NULL. */
static void NAME(paint)(Frame *frame, int which, const XLA_FFI_Buffer *x, const XLA_FFI_Buffer *w,
                        const XLA_FFI_Buffer *f, const XLA_FFI_Buffer *v) {
  NAME(Sum) sum;
  memset(&sum, 0, sizeof sum);
  sum.cells = whole(frame, "cells");
  sum.box_size = real(frame, "box_size");
  sum.particles = x->dims[x->rank - 2];
  sum.columns = w ? w->dims[w->rank - 1] : f->dims[f->rank - 4];
  sum.part = NAME(parts)[which][whole(frame, "order") - 1];
  const int onto_mesh = which == SPREAD || which == SPREAD_SLOPE;
  const int64_t points = sum.columns * sum.cells * sum.cells * sum.cells;
  const int64_t size = onto_mesh                               ? points
                       : which == SLOPE                        ? 3 * sum.particles
                                                               : sum.columns * sum.particles;
  int threads = threads_for(frame, sum.particles);
  if (onto_mesh && threads > sum.cells) threads = (int)sum.cells;
  for (int64_t b = 0, total = batches(x, 2); b < total; ++b) {
    sum.x = (const REAL *)x->data + b * 3 * sum.particles;
    sum.w = w ? (const REAL *)w->data + b * sum.columns * sum.particles : NULL;
    sum.v = v ? (const REAL *)v->data + b * 3 * sum.particles : NULL;
    sum.f = f ? (const REAL *)f->data + b * points : NULL;
    sum.out = (REAL *)result(frame, 0)->data + b * size;
    share_out(onto_mesh ? NAME(share_planes) : NAME(share_particles), &sum, threads);
  }
}
