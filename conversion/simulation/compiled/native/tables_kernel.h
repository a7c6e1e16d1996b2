/* Sums by lookup, and the neurons that they drive; see tables.c. */

/* How many vectors are next to each other, where a quartet begins. */
INLINE int64_t quartet_size(int64_t vectors, int64_t quartet) {
    return vectors - quartet < QUARTET ? vectors - quartet : QUARTET;
}

typedef struct {
    int8_t *tables;         /* [entries, CHANNELS], see `narrow_table` and `wide_table` */
    int32_t *sums;          /* [PIXELS, CHANNELS, SPAN, 32] */
    uint16_t *silence;      /* indices of a pixel without spikes */
    const uint16_t **rows;  /* [taps]: indices of the row that a tap meets */
    int64_t *columns;       /* [taps]: column that it meets for the first output pixel */
    int64_t taps_from, taps_to; /* the others meet nothing */
} scratch;

/* Bytes of the tables that one group of spikes indexes, one for each channel of a block. */
INLINE int64_t block_size(int64_t wide) { return CHANNELS * (wide ? WIDE_TABLE : NARROW_TABLE); }

static int64_t entries_of(const table_layer *l) { return l->kernel_h * l->kernel_w * l->groups; }

static void *room(int64_t bytes) { return aligned_alloc(64, (bytes + 127) / 64 * 64); }

static scratch new_scratch(const table_layer *l) {
    scratch s = {0};
    if (!l->index) return s;
    const int64_t pixel = l->groups * l->vectors * VECTOR;
    s.tables = room(entries_of(l) * block_size(l->wide));
    s.rows = room(l->kernel_h * l->kernel_w * sizeof(uint16_t *));
    s.columns = room(l->kernel_h * l->kernel_w * sizeof(int64_t));
    s.sums = room(PIXELS * CHANNELS * SPAN * VECTOR * sizeof(int32_t));
    s.silence = room(pixel * sizeof(uint16_t));
    for (int64_t n = 0; n < pixel; n += VECTOR) store_places(s.silence + n, no_spikes());
    return s;
}

static void free_scratch(scratch *s) {
    free(s->tables);
    free(s->sums);
    free(s->silence);
    free(s->rows);
    free(s->columns);
}

/* Tables of a block of output channels, in the order in which `sum_tile` walks through them. */
INLINE void build_tables(const table_layer *l, scratch *s, int64_t channel, const int wide) {
    const int64_t entries = entries_of(l), group = wide ? WIDE_GROUP : NARROW_GROUP;
    const int64_t size = wide ? WIDE_TABLE : NARROW_TABLE;
    for (int64_t c = 0; c < CHANNELS; c++) {
        int8_t *table = s->tables + c * size;
        const int32_t *own = l->weights + (channel + c) * entries * group;
        for (int64_t b = 0; b < l->block_count; b++) {
            const int64_t *block = l->blocks + 4 * b;
            for (int64_t tap = block[0]; tap < block[1]; tap++)
                for (int64_t g = block[2]; g < block[3]; g++, table += block_size(wide)) {
                    const int32_t *weights = own + (tap * l->groups + g) * group;
                    if (wide) wide_table(table, weights);
                    else narrow_table(table, weights);
                }
        }
    }
}

/* Where a row of output pixels finds each tap of the kernel; taps above and below the image are left out. */
INLINE void find_taps(const table_layer *l, scratch *s, int64_t y) {
    s->taps_from = s->taps_to = 0;
    for (int64_t ky = 0; ky < l->kernel_h; ky++) {
        const int64_t row = y * l->stride_h - l->pad_h + ky * l->dilation_h;
        if (row < 0) s->taps_from = (ky + 1) * l->kernel_w;
        if (row < 0 || row >= l->height) continue;
        s->taps_to = (ky + 1) * l->kernel_w;
        for (int64_t kx = 0; kx < l->kernel_w; kx++) {
            s->rows[ky * l->kernel_w + kx] = l->index + row * l->width * l->groups * l->vectors * VECTOR;
            s->columns[ky * l->kernel_w + kx] = kx * l->dilation_w - l->pad_w;
        }
    }
}

/* One block of taps and groups of one plane, for some pixels from x on, and some registers of a quartet. */
INLINE void sum_block(
    const table_layer *l, scratch *s, int64_t plane, const int64_t *block, const int8_t *table, int64_t x,
    int64_t pixel, int64_t quartet, int64_t first_register, const int first, const int wide, const int pixels,
    const int registers) {
    const int64_t groups = block[3] - block[2], lanes = lanes_together(wide);
    const int64_t size = groups * block_size(wide);
    const int64_t apart = quartet_size(l->vectors, quartet) * VECTOR;
    const int64_t offset = (plane * l->height * l->vectors + quartet) * l->width * l->groups * VECTOR +
        block[2] * apart + first_register * lanes;
    lookups found;
    clear(&found);
    const int64_t from = block[0] > s->taps_from ? block[0] : s->taps_from;
    const int64_t to = block[1] < s->taps_to ? block[1] : s->taps_to;
    table += (from - block[0]) * size;
    for (int64_t tap = from; tap < to; tap++, table += size) {
        const uint16_t *index[MOST_TOGETHER];
        int some = 0;
        for (int i = 0; i < pixels; i++) {
            const int64_t column = (x + pixel + i) * l->stride_w + s->columns[tap];
            const int inside = column >= 0 && column < l->width;
            index[i] = inside ? s->rows[tap] + offset + column * l->groups * apart : s->silence;
            some |= inside;
        }
        if (some) look_up(&found, index, table, groups, apart, l->run, wide, pixels, registers);
    }
    for (int i = 0; i < pixels; i++)
        for (int r = 0; r < registers; r++)
            for (int c = 0; c < CHANNELS; c++) {
                int32_t *at = s->sums + ((pixel + i) * CHANNELS + c) * SPAN * VECTOR + quartet % SPAN * VECTOR +
                    (first_register + r) * lanes;
                keep_sums(&found, i * registers + r, c, at, l->plane_weights[plane], first, wide);
            }
}

/* Sums of a quartet of vectors, for neighbouring pixels and one block of output channels. */
INLINE void sum_tile(const table_layer *l, scratch *s, int64_t x, int64_t pixels, int64_t quartet, const int wide) {
    const int64_t all = quartet_size(l->vectors, quartet) * VECTOR / lanes_together(wide);
    const int most = wide ? MOST_WIDE : MOST_TOGETHER;
    for (int64_t p = 0; p < l->planes; p++) {
        const int8_t *table = s->tables;
        for (int64_t b = 0; b < l->block_count; b++) {
            const int64_t *block = l->blocks + 4 * b;
            const int first = b == 0 && p == 0;
#define SUM(P, R) \
    for (; pixels - i >= P; i += P) sum_block(l, s, p, block, table, x, i, quartet, r, first, wide, P, R)
            for (int64_t r = 0; r < all;) {
                int64_t i = 0;
                if (most >= 4 && all - r >= 4) {
                    SUM(1, 4);
                    r += 4;
                } else if (most >= 2 && all - r >= 2) {
                    if (most >= 4) SUM(2, 2);
                    SUM(1, 2);
                    r += 2;
                } else {
                    if (most >= 4) SUM(4, 1);
                    if (most == 2) SUM(2, 1);
                    SUM(1, 1);
                    r += 1;
                }
            }
#undef SUM
            table += (block[1] - block[0]) * (block[3] - block[2]) * block_size(wide);
        }
    }
}

static void sum_narrow_tile(const table_layer *l, scratch *s, int64_t x, int64_t pixels, int64_t quartet) {
    sum_tile(l, s, x, pixels, quartet, 0);
}

static void sum_wide_tile(const table_layer *l, scratch *s, int64_t x, int64_t pixels, int64_t quartet) {
    sum_tile(l, s, x, pixels, quartet, 1);
}

/* Sums of one time step for a register of neurons, from lane `lane` of [channels, images] on. */
INLINE vec load_sums(const int32_t *sums, int64_t channel_apart, int64_t lane, int64_t t, const int images) {
    const int64_t channel = lane / images, image = lane % images;
    const int32_t *from = sums + channel * channel_apart + t * images + image;
    if (images >= LANES) return floats(load_whole(from));
    int32_t some[LANES];
    for (int i = 0; i < LANES / images; i++) memcpy(some + i * images, from + i * channel_apart, images * 4);
    return floats(load_whole(some));
}

#define TOGETHER 4 /* registers of neurons that fire side by side, as each has to wait for its own last step */

/* Add everything else that flows in, in the order given. */
INLINE void add_addends(
    vec currents[TOGETHER], const table_layer *l, int64_t t, const int64_t places[TOGETHER],
    const int64_t lanes[TOGETHER], int64_t channel, const int images, const int together) {
    for (int64_t a = 0; a < l->addends; a++) {
        const table_addend *add = &l->add[a];
        for (int u = 0; u < together; u++) {
            const vec scale = load(add->scale + channel * images + lanes[u]);
            const int64_t from = places[u] * add->pixel + t * add->step + lanes[u]; /* counts images */
            if (add->planes == 1) {
                currents[u] = add_where(load_bits(add->values, from, images), currents[u], scale);
                continue;
            }
            vec values = all(0);
            if (!add->planes) values = load((const float *)add->values + from);
            for (int64_t p = 0; p < add->planes; p++)
                values = add_where(
                    load_bits(add->values, from + p * l->steps * add->step, images), values,
                    all((float)add->weights[p]));
            currents[u] = multiply_add(scale, values, currents[u]);
        }
    }
}

/* Fire a register of neurons once and write their spikes. */
INLINE void fire_lanes(
    const table_layer *l, vec state[MAX_STATES], vec current, int64_t t, int64_t at, int64_t plane, const int images,
    const int kind) {
    if (kind == BINARY) {
        store_bits(l->fired, at, fire_binary(&state[MEMBRANE], current), images);
        return;
    }
    const ivec spikes = __builtin_convertvector(fire(&l->neurons, state, current, t, kind), ivec);
    for (int64_t p = 0; p < l->out_planes; p++) store_bits(l->fired, p * plane + at, has_bit(spikes, 1 << p), images);
}

/* Everything that follows the sums, for some registers of neurons of a tile, over steps [begin, end). */
INLINE void settle_some(
    const table_layer *l, const scratch *s, int64_t channel, int64_t pixel, int64_t unit, int64_t begin, int64_t end,
    const int images, const int together, const int kind) {
    const int64_t row = CHANNELS * images, plane = l->steps * row, apart = SPAN * VECTOR;
    const int64_t first = channel / CHANNELS * l->out_height * l->out_width + pixel;
    int64_t places[TOGETHER], lanes[TOGETHER], to[TOGETHER];
    vec scale[TOGETHER], currents[TOGETHER];
    const float *biases[TOGETHER];
    vec state[TOGETHER][MAX_STATES];
    const int states = kind == NONE ? 0 : states_of(kind);
    const int32_t *sums[TOGETHER];
    for (int u = 0; u < together; u++) {
        const int64_t i = (unit + u) * LANES / row;
        lanes[u] = (unit + u) * LANES % row;
        places[u] = first + i;
        to[u] = places[u] * plane * (kind == NONE ? 1 : l->out_planes) + lanes[u];
        sums[u] = s->sums + i * CHANNELS * apart;
        scale[u] = load(l->scale + channel * images + lanes[u]);
        biases[u] = l->bias + channel * images + lanes[u];
        for (int n = 0; n < states; n++) state[u][n] = load(l->neurons.state[n] + places[u] * row + lanes[u]);
    }
    for (int64_t t = begin; t < end; t++) {
        for (int u = 0; u < together; u++) {
            currents[u] = load(biases[u] + t * l->bias_step);
            if (l->index)
                currents[u] =
                    multiply_add(load_sums(sums[u], apart, lanes[u], t - begin, images), scale[u], currents[u]);
        }
        add_addends(currents, l, t, places, lanes, channel, images, together);
        for (int u = 0; u < together; u++)
            if (kind == NONE) store(l->currents + to[u] + t * row, currents[u]);
            else fire_lanes(l, state[u], currents[u], t, to[u] + t * row, plane, images, kind);
    }
    for (int u = 0; u < together; u++)
        for (int n = 0; n < states; n++) store(l->neurons.state[n] + places[u] * row + lanes[u], state[u][n]);
}

INLINE void settle(
    const table_layer *l, const scratch *s, int64_t channel, int64_t pixel, int64_t pixels, int64_t vector,
    const int images, const int kind) {
    const int64_t units = pixels * CHANNELS * images / LANES, begin = vector * VECTOR / images;
    int64_t end = begin + SPAN * VECTOR / images, unit = 0;
    end = end < l->steps ? end : l->steps;
    for (; units - unit >= TOGETHER; unit += TOGETHER)
        settle_some(l, s, channel, pixel, unit, begin, end, images, TOGETHER, kind);
    if (images < LANES) /* with more, whole pixels are whole groups of registers */
        for (; unit < units; unit++) settle_some(l, s, channel, pixel, unit, begin, end, images, 1, kind);
}

/* Rows [from, to) of a block of output channels. */
INLINE void run_band(const table_layer *given, scratch *s, int64_t block, int64_t from, int64_t to, const int images) {
    const table_layer own = *given, *l = &own; /* nothing written below can change it, and the compiler knows */
    const int64_t channel = block * CHANNELS;
    const int64_t most = TILE / (l->vectors < SPAN ? l->vectors : SPAN), tile = most < PIXELS ? most : PIXELS;
    if (l->index && l->wide) build_tables(l, s, channel, 1);
    if (l->index && !l->wide) build_tables(l, s, channel, 0);
    for (int64_t y = from; y < to; y++) {
        if (l->index) find_taps(l, s, y);
        for (int64_t vector = 0; vector < l->vectors; vector += SPAN)
            for (int64_t x = 0; x < l->out_width; x += tile) {
                const int64_t pixels = l->out_width - x < tile ? l->out_width - x : tile;
                const int64_t pixel = y * l->out_width + x;
                for (int64_t quartet = vector; quartet < vector + SPAN && quartet < l->vectors; quartet += QUARTET)
                    if (l->index && l->wide) sum_wide_tile(l, s, x, pixels, quartet);
                    else if (l->index) sum_narrow_tile(l, s, x, pixels, quartet);
                switch (l->neurons.kind) {
#define SETTLE(KIND) \
    case KIND: settle(l, s, channel, pixel, pixels, vector, images, KIND); break;
                    SETTLE(NONE)
                    SETTLE(BINARY)
                    SETTLE(BURST)
                    SETTLE(SIGNED)
                    SETTLE(CALIBRATED)
                    SETTLE(LEAKY)
                    SETTLE(ROUNDING)
                    SETTLE(TRACKING)
                    SETTLE(BOUNDED)
#undef SETTLE
                }
            }
    }
}
