/* Short-range forces of pairs, for one precision: REAL, FLOOR, SQRT and NAME(x).

   The two sums of pairs_jax.py. Particles are sorted into cells. All particles of a cell look at one
   list, the particles of the cells around it, whose places are taken relative to the cell's centre:
   sums have one order whatever the threads. */

typedef struct NAME(Particles) {
  int64_t number, side, reach; /* cells to look at on either side */
  double box_size, cutoff, softening;
  const double *short_part;
  const REAL *x, *v;
  REAL *out;
  int64_t *start;   /* [side^3 + 1], into the sorted arrays */
  int64_t *original; /* [number], where a sorted particle came from */
  REAL *place;      /* [3][number], sorted, within the box */
  REAL *speed;      /* [3][number] or NULL */
  atomic_llong next, failed;
} NAME(Particles);

/* Places, and velocities where the sum is a change, relative to the centre of a cell. */
typedef struct NAME(List) {
  int64_t size, room;
  REAL *x[3], *v[3];
  void *memory;
} NAME(List);

static int NAME(make_room)(NAME(List) * list, int64_t size) {
  if (size <= list->room) return 1;
  free(list->memory);
  list->room = 0;
  list->memory = malloc(sizeof(REAL) * 6 * (size_t)size);
  if (list->memory == NULL) return 0;
  list->room = size;
  for (int d = 0; d < 3; ++d) {
    list->x[d] = (REAL *)list->memory + d * size;
    list->v[d] = (REAL *)list->memory + (d + 3) * size;
  }
  return 1;
}

/* A cell of the periodic grid, and by how much the box moved to hold it. */
static int64_t NAME(wrapped)(const NAME(Particles) * p, int64_t cell, double *moved) {
  const int64_t inside = (cell % p->side + p->side) % p->side;
  *moved = (double)((cell - inside) / p->side) * p->box_size;
  return inside;
}

static void NAME(append)(const NAME(Particles) * p, NAME(List) * list, int64_t first, int64_t count,
                         const double *origin) {
  for (int d = 0; d < 3; ++d) {
    const REAL from = (REAL)origin[d];
    const REAL *place = p->place + d * p->number + first;
    REAL *out = list->x[d] + list->size;
    for (int64_t i = 0; i < count; ++i) out[i] = place[i] - from;
    if (p->speed)
      memcpy(list->v[d] + list->size, p->speed + d * p->number + first,
             sizeof(REAL) * (size_t)count);
  }
}

/* Go through the particles around a cell: count them, or put them on the list as well. */
static void NAME(surround)(const NAME(Particles) * p, NAME(List) * list, const int64_t *at,
                           const double *centre, int copying) {
  double moved[3], origin[3];
  list->size = 0;
  for (int64_t i = at[0] - p->reach; i <= at[0] + p->reach; ++i) {
    const int64_t x = NAME(wrapped)(p, i, &moved[0]);
    for (int64_t j = at[1] - p->reach; j <= at[1] + p->reach; ++j) {
      const int64_t row = (x * p->side + NAME(wrapped)(p, j, &moved[1])) * p->side;
      for (int64_t k = at[2] - p->reach, end = at[2] + p->reach + 1; k < end;) {
        const int64_t z = NAME(wrapped)(p, k, &moved[2]);
        const int64_t cells = end - k < p->side - z ? end - k : p->side - z;
        const int64_t first = p->start[row + z], count = p->start[row + z + cells] - first;
        for (int d = 0; d < 3; ++d) origin[d] = centre[d] - moved[d];
        if (copying) NAME(append)(p, list, first, count, origin);
        list->size += count;
        k += cells;
      }
    }
  }
}

/* Fill the list up to whole vectors, with particles beyond the cutoff. */
static void NAME(pad)(const NAME(Particles) * p, NAME(List) * list) {
  for (; list->size % LANES; ++list->size)
    for (int d = 0; d < 3; ++d) {
      list->x[d][list->size] = (REAL)(3 * p->cutoff);
      list->v[d][list->size] = 0;
    }
}

/* The sum over a list for a particle at (x, y, z) with velocity (u, v, w). */
static inline __attribute__((always_inline)) void NAME(sum_list)(
    const int changing, const NAME(Particles) * p, const NAME(List) * list, const REAL *here,
    const REAL *mine, REAL *total) {
  const REAL cut2 = (REAL)(p->cutoff * p->cutoff), per_cut2 = 1 / cut2;
  const REAL soft2 = (REAL)(p->softening * p->softening), per_soft2 = 1 / soft2;
  const REAL soft = (REAL)(1 / (8 * pow(p->softening, 3))), scale = (REAL)pow(p->cutoff, -3);
  const REAL x = here[0], y = here[1], z = here[2];
  const REAL *restrict xs = list->x[0], *restrict ys = list->x[1], *restrict zs = list->x[2];
  const REAL *restrict us = list->v[0], *restrict vs = list->v[1], *restrict ws = list->v[2];
  const REAL u = changing ? mine[0] : 0, v = changing ? mine[1] : 0, w = changing ? mine[2] : 0;
  REAL h[TERMS];
  for (int k = 0; k < TERMS; ++k) h[k] = (REAL)p->short_part[k];
  REAL gx = 0, gy = 0, gz = 0;
  const int64_t size = list->size;
#pragma omp simd reduction(+ : gx, gy, gz)
  for (int64_t j = 0; j < size; ++j) {
    const REAL dx = xs[j] - x, dy = ys[j] - y, dz = zs[j] - z;
    const REAL d2 = dx * dx + dy * dy + dz * dz, t = 1 - d2 * per_cut2;
    REAL value = h[TERMS - 1], slope = 0;
    for (int k = TERMS - 2; k >= 0; --k) {
      if (changing) slope = slope * t + value;
      value = value * t + h[k];
    }
    const REAL u2 = d2 * per_soft2, apart = d2 > soft2 ? d2 : soft2;
    const REAL newton = 1 / (apart * SQRT(apart));
    const REAL ball = soft * (35 - u2 * (42 - 15 * u2));
    const REAL core = u2 < 1 ? ball : newton;
    const REAL force = t > 0 ? core - scale * value : 0;
    if (changing) {
      const REAL ball_slope = soft * per_soft2 * (30 * u2 - 42);
      const REAL newton_slope = (REAL)-1.5 * newton / apart;
      const REAL core_slope = u2 < 1 ? ball_slope : newton_slope;
      const REAL du = us[j] - u, dv = vs[j] - v, dw = ws[j] - w;
      const REAL change = t > 0 ? core_slope + scale * per_cut2 * slope : 0;
      const REAL along = 2 * change * (dx * du + dy * dv + dz * dw);
      gx += force * du + along * dx;
      gy += force * dv + along * dy;
      gz += force * dw + along * dz;
    } else {
      gx += force * dx;
      gy += force * dy;
      gz += force * dz;
    }
  }
  total[0] = gx, total[1] = gy, total[2] = gz;
}

/* Threads take rows of cells as they get ready. */
static void NAME(look_around)(const void *task, int number, int threads) {
  NAME(Particles) *p = (NAME(Particles) *)task;
  (void)number, (void)threads;
  const int64_t side = p->side;
  const double width = p->box_size / (double)side;
  NAME(List) list;
  memset(&list, 0, sizeof list);
  for (int64_t row; (row = atomic_fetch_add(&p->next, 1)) < side * side;) {
    for (int64_t z = 0; z < side; ++z) {
      const int64_t first = p->start[row * side + z], last = p->start[row * side + z + 1];
      if (first == last) continue;
      const int64_t at[3] = {row / side, row % side, z};
      double centre[3];
      for (int d = 0; d < 3; ++d) centre[d] = (REAL)(((double)at[d] + 0.5) * width);
      NAME(surround)(p, &list, at, centre, 0);
      if (!NAME(make_room)(&list, list.size + LANES)) {
        atomic_store(&p->failed, 1);
        return;
      }
      NAME(surround)(p, &list, at, centre, 1);
      NAME(pad)(p, &list);
      for (int64_t i = first; i < last; ++i) {
        REAL here[3], mine[3] = {0, 0, 0};
        for (int d = 0; d < 3; ++d) {
          here[d] = p->place[d * p->number + i] - (REAL)centre[d];
          if (p->speed) mine[d] = p->speed[d * p->number + i];
        }
        if (p->speed)
          NAME(sum_list)(1, p, &list, here, mine, p->out + 3 * p->original[i]);
        else
          NAME(sum_list)(0, p, &list, here, mine, p->out + 3 * p->original[i]);
      }
    }
  }
  free(list.memory);
}

/* Sort the particles into the cells; 0 where there is no memory. */
static int NAME(sort)(NAME(Particles) * p) {
  const int64_t side = p->side, cells = side * side * side, number = p->number;
  int64_t *cell = malloc(sizeof(int64_t) * (size_t)number);
  p->start = calloc((size_t)cells + 1, sizeof(int64_t));
  p->original = malloc(sizeof(int64_t) * (size_t)number);
  p->place = malloc(sizeof(REAL) * 3 * (size_t)number);
  p->speed = p->v ? malloc(sizeof(REAL) * 3 * (size_t)number) : NULL;
  const int whole = cell && p->start && p->original && p->place && (p->speed || !p->v);
  const REAL box = (REAL)p->box_size, scale = (REAL)((double)side / p->box_size);
  for (int64_t i = 0; whole && i < number; ++i) {
    int64_t at[3];
    for (int d = 0; d < 3; ++d) {
      const REAL x = p->x[3 * i + d], u = (x - box * FLOOR(x / box)) * scale;
      at[d] = u >= 0 && u < (REAL)side ? (int64_t)u : u >= (REAL)side ? side - 1 : 0;
    }
    cell[i] = (at[0] * side + at[1]) * side + at[2];
    ++p->start[cell[i] + 1];
  }
  for (int64_t c = 0; whole && c < cells; ++c) p->start[c + 1] += p->start[c];
  for (int64_t i = number - 1; whole && i >= 0; --i) {
    /* start[c + 1] runs from the end of cell c down to its start */
    const int64_t to = --p->start[cell[i] + 1];
    p->original[to] = i;
    for (int d = 0; d < 3; ++d) {
      const REAL x = p->x[3 * i + d];
      p->place[d * number + to] = x - box * FLOOR(x / box);
      if (p->v) p->speed[d * number + to] = p->v[3 * i + d];
    }
  }
  if (whole) {
    memmove(p->start, p->start + 1, sizeof(int64_t) * (size_t)cells);
    p->start[cells] = number;
  }
  free(cell);
  return whole;
}

/* Half the cutoff wide where there are many particles, the cutoff where there are few, and more where
   most cells would be empty. A cell is never its own neighbour: the cutoff is at most 0.4 boxes. */
static void NAME(choose_cells)(NAME(Particles) * p) {
  const double per_cutoff = p->box_size / p->cutoff * (1 + 1e-12);
  const double cubed = per_cutoff * per_cutoff * per_cutoff, most = cbrt((double)p->number);
  p->reach = (double)p->number > MANY * cubed || per_cutoff < 3 ? 2 : 1;
  p->side = (int64_t)(p->reach * per_cutoff < most ? p->reach * per_cutoff : most);
  if (p->side < 2 * p->reach + 1) p->side = 2 * p->reach + 1;
}

/* Every batch; 0 where there is no memory. */
static int NAME(pull)(Frame *frame, const XLA_FFI_Buffer *x, const XLA_FFI_Buffer *v) {
  NAME(Particles) p;
  int done = 1;
  for (int64_t b = 0, total = batches(x, 2); b < total && done; ++b) {
    memset(&p, 0, sizeof p);
    p.number = x->dims[x->rank - 2];
    if (p.number == 0) break;
    p.box_size = real(frame, "box_size"), p.cutoff = real(frame, "cutoff");
    p.softening = real(frame, "softening"), p.short_part = attribute(frame, "short");
    p.x = (const REAL *)x->data + b * 3 * p.number;
    p.v = v ? (const REAL *)v->data + b * 3 * p.number : NULL;
    p.out = (REAL *)result(frame, 0)->data + b * 3 * p.number;
    NAME(choose_cells)(&p);
    done = NAME(sort)(&p);
    if (done) share_out(NAME(look_around), &p, threads_for(frame, p.number));
    done = done && !atomic_load(&p.failed);
    free(p.start), free(p.original), free(p.place), free(p.speed);
  }
  return done;
}
