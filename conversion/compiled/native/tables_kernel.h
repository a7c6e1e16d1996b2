/* Sums by lookup, and the neurons that they drive; see tables.c. */

#define TABLE 128     /* bytes of one table */
#define PIXELS 8      /* most neighbouring output pixels whose sums are kept until their neurons fire */
#define SPAN 16       /* most vectors whose sums are kept until then */
#define TILE 32       /* most pixels times vectors of both: sums, tables and indices stay in the nearest cache */

#define BAND_BYTES (640 * 1024) /* of indices, see `rows_of_band` */

/* How many vectors are next to each other, where a quartet begins. */
INLINE int64_t quartet_size(int64_t vectors, int64_t quartet) {
    return vectors - quartet < QUARTET ? vectors - quartet : QUARTET;
}

typedef struct {
    int8_t *tables;         /* [entries, CHANNELS], each int16 [64], or wide: int32 [32] */
    int32_t *sums;          /* [PIXELS, CHANNELS, SPAN, 32] */
    uint16_t *silence;      /* indices of a pixel without spikes */
    const uint16_t **rows;  /* [taps]: indices of the row that a tap meets */
    int64_t *columns;       /* [taps]: column that it meets for the first output pixel */
    int64_t taps_from, taps_to; /* the others meet nothing */
} scratch;

static int64_t entries_of(const table_layer *l) { return l->kernel_h * l->kernel_w * l->groups; }

static void *room(int64_t bytes) { return aligned_alloc(64, (bytes + 127) / 64 * 64); }

static scratch new_scratch(const table_layer *l) {
    scratch s = {0};
    if (!l->index) return s;
    const int64_t pixel = l->groups * l->vectors * VECTOR * sizeof(uint16_t);
    s.tables = room(entries_of(l) * CHANNELS * TABLE);
    s.rows = room(l->kernel_h * l->kernel_w * sizeof(uint16_t *));
    s.columns = room(l->kernel_h * l->kernel_w * sizeof(int64_t));
    s.sums = room(PIXELS * CHANNELS * SPAN * VECTOR * sizeof(int32_t));
    s.silence = room(pixel);
    memset(s.silence, 0, pixel);
    return s;
}

static void free_scratch(scratch *s) {
    free(s->tables);
    free(s->sums);
    free(s->silence);
    free(s->rows);
    free(s->columns);
}

/* All sums of 6 weights: bit j of the place in the table says whether weight j takes part. */
INLINE void narrow_table(int16_t *table, const int32_t *weights) {
    static const uint32_t has[5] = {0xAAAAAAAA, 0xCCCCCCCC, 0xF0F0F0F0, 0xFF00FF00, 0xFFFF0000};
    __m512i low = _mm512_setzero_si512();
    for (int j = 0; j < 5; j++) low = _mm512_mask_add_epi16(low, has[j], low, _mm512_set1_epi16(weights[j]));
    _mm512_storeu_si512(table, low);
    _mm512_storeu_si512(table + 32, _mm512_add_epi16(low, _mm512_set1_epi16(weights[5])));
}

/* All sums of 5 weights. */
INLINE void wide_table(int32_t *table, const int32_t *weights) {
    static const uint16_t has[4] = {0xAAAA, 0xCCCC, 0xF0F0, 0xFF00};
    __m512i low = _mm512_setzero_si512();
    for (int j = 0; j < 4; j++) low = _mm512_mask_add_epi32(low, has[j], low, _mm512_set1_epi32(weights[j]));
    _mm512_storeu_si512(table, low);
    _mm512_storeu_si512(table + 16, _mm512_add_epi32(low, _mm512_set1_epi32(weights[4])));
}

/* Tables of a block of output channels, in the order in which `sum_tile` walks through them. */
INLINE void build_tables(const table_layer *l, scratch *s, int64_t channel, const int wide) {
    const int64_t entries = entries_of(l), group = wide ? 5 : 6;
    for (int64_t c = 0; c < CHANNELS; c++) {
        int8_t *table = s->tables + c * TABLE;
        const int32_t *own = l->weights + (channel + c) * entries * group;
        for (int64_t b = 0; b < l->block_count; b++) {
            const int64_t *block = l->blocks + 4 * b;
            for (int64_t tap = block[0]; tap < block[1]; tap++)
                for (int64_t g = block[2]; g < block[3]; g++, table += CHANNELS * TABLE) {
                    const int32_t *weights = own + (tap * l->groups + g) * group;
                    if (wide) wide_table((int32_t *)table, weights);
                    else narrow_table((int16_t *)table, weights);
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

/* Add the sums of a run of groups for 4 output channels and 4 registers: some of each of some pixels. */
INLINE void look_up(
    __m512i sums[4][CHANNELS], const uint16_t *const index[4], const int8_t *table, int64_t groups, int64_t apart,
    const int wide, const int pixels, const int registers) {
    for (int64_t g = 0; g < groups; g++, table += CHANNELS * TABLE) {
        __m512i low[CHANNELS], high[CHANNELS];
        for (int c = 0; c < CHANNELS; c++) {
            low[c] = _mm512_load_si512(table + c * TABLE);
            high[c] = _mm512_load_si512(table + c * TABLE + 64);
        }
        for (int i = 0; i < pixels; i++)
            for (int r = 0; r < registers; r++) {
                const uint16_t *from = index[i] + g * apart + r * (wide ? 16 : 32);
                __m512i spikes = wide ? _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from))
                                      : _mm512_loadu_si512(from);
                __m512i *sum = sums[i * registers + r];
                for (int c = 0; c < CHANNELS; c++)
                    sum[c] = wide ? _mm512_add_epi32(sum[c], _mm512_permutex2var_epi32(low[c], spikes, high[c]))
                                  : _mm512_add_epi16(sum[c], _mm512_permutex2var_epi16(low[c], spikes, high[c]));
            }
    }
}

/* Add one register of 16 sums, times `weight`, to memory; the first time, write it. */
INLINE void add_sums(int32_t *to, __m512i sums, int64_t weight, int first) {
    if (weight != 1) sums = _mm512_mullo_epi32(sums, _mm512_set1_epi32(weight));
    if (!first) sums = _mm512_add_epi32(sums, _mm512_load_si512(to));
    _mm512_store_si512(to, sums);
}

/* One block of taps and groups of one plane, for some pixels from x on, and some registers of a quartet. */
INLINE void sum_block(
    const table_layer *l, scratch *s, int64_t plane, const int64_t *block, const int8_t *table, int64_t x,
    int64_t pixel, int64_t quartet, int64_t first_register, const int first, const int wide, const int pixels,
    const int registers) {
    const int64_t groups = block[3] - block[2], lanes = wide ? 16 : 32;
    const int64_t apart = quartet_size(l->vectors, quartet) * VECTOR;
    const int64_t offset = (plane * l->height * l->vectors + quartet) * l->width * l->groups * VECTOR +
                           block[2] * apart + first_register * lanes;
    __m512i sums[4][CHANNELS];
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < CHANNELS; c++) sums[i][c] = _mm512_setzero_si512();
    const int64_t from = block[0] > s->taps_from ? block[0] : s->taps_from;
    const int64_t to = block[1] < s->taps_to ? block[1] : s->taps_to;
    table += (from - block[0]) * groups * CHANNELS * TABLE;
    for (int64_t tap = from; tap < to; tap++, table += groups * CHANNELS * TABLE) {
        const uint16_t *index[4];
        int found = 0;
        for (int i = 0; i < pixels; i++) {
            const int64_t column = (x + pixel + i) * l->stride_w + s->columns[tap];
            const int inside = column >= 0 && column < l->width;
            index[i] = inside ? s->rows[tap] + offset + column * l->groups * apart : s->silence;
            found |= inside;
        }
        if (found) look_up(sums, index, table, groups, apart, wide, pixels, registers);
    }
    for (int i = 0; i < pixels; i++)
        for (int r = 0; r < registers; r++)
            for (int c = 0; c < CHANNELS; c++) {
                const __m512i sum = sums[i * registers + r][c];
                int32_t *at = s->sums + ((pixel + i) * CHANNELS + c) * SPAN * VECTOR +
                              quartet % SPAN * VECTOR + (first_register + r) * lanes;
                const int64_t weight = l->plane_weights[plane];
                if (wide) {
                    add_sums(at, sum, weight, first);
                    continue;
                }
                add_sums(at, _mm512_cvtepi16_epi32(_mm512_castsi512_si256(sum)), weight, first);
                add_sums(at + 16, _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(sum, 1)), weight, first);
            }
}

/* Sums of a quartet of vectors, for neighbouring pixels and one block of output channels. */
INLINE void sum_tile(
    const table_layer *l, scratch *s, int64_t x, int64_t pixels, int64_t quartet, const int wide) {
    const int64_t all = quartet_size(l->vectors, quartet) * (wide ? 2 : 1);
    for (int64_t p = 0; p < l->planes; p++) {
        const int8_t *table = s->tables;
        for (int64_t b = 0; b < l->block_count; b++) {
            const int64_t *block = l->blocks + 4 * b;
            const int first = b == 0 && p == 0;
#define SUM(P, R) \
    for (; pixels - i >= P; i += P) sum_block(l, s, p, block, table, x, i, quartet, r, first, wide, P, R)
            for (int64_t r = 0; r < all;) {
                int64_t i = 0;
                if (all - r >= 4) {
                    SUM(1, 4);
                    r += 4;
                } else if (all - r >= 2) {
                    SUM(2, 2);
                    SUM(1, 2);
                    r += 2;
                } else {
                    SUM(4, 1);
                    SUM(1, 1);
                    r += 1;
                }
            }
#undef SUM
            table += (block[1] - block[0]) * (block[3] - block[2]) * CHANNELS * TABLE;
        }
    }
}

static void sum_narrow_tile(const table_layer *l, scratch *s, int64_t x, int64_t pixels, int64_t quartet) {
    sum_tile(l, s, x, pixels, quartet, 0);
}

static void sum_wide_tile(const table_layer *l, scratch *s, int64_t x, int64_t pixels, int64_t quartet) {
    sum_tile(l, s, x, pixels, quartet, 1);
}

/* 16 sums of one time step: neighbouring images, and channels where there are fewer than 16 images. */
INLINE __m512 load_sums(const int32_t *sums, int64_t channel_apart, int64_t q, int64_t t, const int images) {
    __m512i all;
    if (images == 32)
        all = _mm512_loadu_si512(sums + q / 2 * channel_apart + t * 32 + q % 2 * 16);
    else if (images == 16)
        all = _mm512_loadu_si512(sums + q * channel_apart + t * 16);
    else if (images == 8) {
        const int32_t *from = sums + 2 * q * channel_apart + t * 8;
        const __m256i low = _mm256_loadu_si256((const __m256i *)from);
        const __m256i high = _mm256_loadu_si256((const __m256i *)(from + channel_apart));
        all = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    } else {
        const int32_t *from = sums + t * 4;
        all = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)from));
        all = _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(from + channel_apart)), 1);
        all = _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(from + 2 * channel_apart)), 2);
        all = _mm512_inserti32x4(all, _mm_loadu_si128((const __m128i *)(from + 3 * channel_apart)), 3);
    }
    return _mm512_cvtepi32_ps(all);
}

/* 16 bits of spikes from elements of 8 to 32 bits; `at` counts images. With 4 images, half of a byte is used. */
INLINE __mmask16 load_bits(const uint8_t *bits, int64_t at, const int images) {
    if (images == 4) {
        uint32_t four;
        memcpy(&four, bits + at / 4, 4);
        return (__mmask16)_pext_u32(four, 0x0F0F0F0F);
    }
    uint16_t two;
    memcpy(&two, bits + at / 8, 2);
    return two;
}

INLINE void store_bits(uint8_t *bits, int64_t at, __mmask16 mask, const int images) {
    if (images == 4) {
        const uint32_t four = _pdep_u32(mask, 0x0F0F0F0F);
        memcpy(bits + at / 4, &four, 4);
        return;
    }
    const uint16_t two = mask;
    memcpy(bits + at / 8, &two, 2);
}

#define TOGETHER 4 /* registers of neurons that fire side by side, as each has to wait for its own last step */

/* Add everything else that flows in, in the order given. */
INLINE void add_addends(
    __m512 currents[TOGETHER], const table_layer *l, int64_t t, const int64_t places[TOGETHER],
    const int64_t lanes[TOGETHER], int64_t channel, const int images, const int together) {
    for (int64_t a = 0; a < l->addends; a++) {
        const table_addend *add = &l->add[a];
        for (int u = 0; u < together; u++) {
            const __m512 scale = _mm512_loadu_ps(add->scale + channel * images + lanes[u]);
            const int64_t from = places[u] * add->pixel + t * add->step + lanes[u]; /* counts images */
            if (add->planes == 1) {
                const __mmask16 spikes = load_bits(add->values, from, images);
                currents[u] = _mm512_mask_add_ps(currents[u], spikes, currents[u], scale);
                continue;
            }
            __m512 values = _mm512_setzero_ps();
            if (!add->planes) values = _mm512_loadu_ps((const float *)add->values + from);
            for (int64_t p = 0; p < add->planes; p++)
                values = _mm512_mask_add_ps(
                    values, load_bits(add->values, from + p * l->steps * add->step, images), values,
                    _mm512_set1_ps((float)add->weights[p]));
            currents[u] = _mm512_fmadd_ps(scale, values, currents[u]);
        }
    }
}

/* Fire 16 neurons once and write their spikes. */
INLINE void fire_lanes(
    const table_layer *l, vec state[MAX_STATES], vec current, int64_t t, int64_t at, int64_t plane,
    const int images, const int kind) {
    if (kind == BINARY) {
        const __m512 one = _mm512_set1_ps(1.0f), v = (__m512)(state[MEMBRANE] + current);
        const __mmask16 fires = _mm512_cmp_ps_mask(v, one, _CMP_GE_OQ);
        store_bits(l->fired, at, fires, images);
        state[MEMBRANE] = (vec)_mm512_mask_sub_ps(v, fires, v, one);
        return;
    }
    const __m512i spikes = _mm512_cvttps_epi32((__m512)fire(&l->neurons, state, current, t, kind));
    for (int64_t p = 0; p < l->out_planes; p++)
        store_bits(l->fired, p * plane + at, _mm512_test_epi32_mask(spikes, _mm512_set1_epi32(1 << p)), images);
}

/* Everything that follows the sums, for some registers of neurons of a tile, over steps [begin, end). */
INLINE void settle_some(
    const table_layer *l, const scratch *s, int64_t channel, int64_t pixel, int64_t unit, int64_t begin,
    int64_t end, const int images, const int together, const int kind) {
    const int64_t row = CHANNELS * images, plane = l->steps * row, apart = SPAN * VECTOR;
    const int64_t first = channel / CHANNELS * l->out_height * l->out_width + pixel;
    int64_t places[TOGETHER], lanes[TOGETHER], to[TOGETHER];
    __m512 scale[TOGETHER], bias[TOGETHER], currents[TOGETHER];
    vec state[TOGETHER][MAX_STATES];
    const int states = kind == NONE ? 0 : states_of(kind);
    const int32_t *sums[TOGETHER];
    for (int u = 0; u < together; u++) {
        const int64_t i = (unit + u) * 16 / row;
        lanes[u] = (unit + u) * 16 % row;
        places[u] = first + i;
        to[u] = places[u] * plane * (kind == NONE ? 1 : l->out_planes) + lanes[u];
        sums[u] = s->sums + i * CHANNELS * apart;
        scale[u] = _mm512_loadu_ps(l->scale + channel * images + lanes[u]);
        bias[u] = _mm512_loadu_ps(l->bias + channel * images + lanes[u]);
        for (int n = 0; n < states; n++) state[u][n] = load(l->neurons.state[n] + places[u] * row + lanes[u]);
    }
    for (int64_t t = begin; t < end; t++) {
        for (int u = 0; u < together; u++) {
            currents[u] = bias[u];
            if (l->index)
                currents[u] = _mm512_fmadd_ps(load_sums(sums[u], apart, lanes[u] / 16, t - begin, images), scale[u], bias[u]);
        }
        add_addends(currents, l, t, places, lanes, channel, images, together);
        for (int u = 0; u < together; u++)
            if (kind == NONE)
                _mm512_storeu_ps(l->currents + to[u] + t * row, currents[u]);
            else
                fire_lanes(l, state[u], (vec)currents[u], t, to[u] + t * row, plane, images, kind);
    }
    for (int u = 0; u < together; u++)
        for (int n = 0; n < states; n++) store(l->neurons.state[n] + places[u] * row + lanes[u], state[u][n]);
}

INLINE void settle(
    const table_layer *l, const scratch *s, int64_t channel, int64_t pixel, int64_t pixels, int64_t vector,
    const int images, const int kind) {
    const int64_t units = pixels * CHANNELS * images / 16, begin = vector * VECTOR / images;
    int64_t end = begin + SPAN * VECTOR / images, unit = 0;
    end = end < l->steps ? end : l->steps;
    for (; units - unit >= TOGETHER; unit += TOGETHER)
        settle_some(l, s, channel, pixel, unit, begin, end, images, TOGETHER, kind);
    if (images < 16) /* with more, whole pixels are whole groups of registers */
        for (; unit < units; unit++) settle_some(l, s, channel, pixel, unit, begin, end, images, 1, kind);
}

/* Rows [from, to) of a block of output channels. */
INLINE void run_band(
    const table_layer *given, scratch *s, int64_t block, int64_t from, int64_t to, const int images) {
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
                    SETTLE(NONE) SETTLE(BINARY) SETTLE(BURST) SETTLE(SIGNED) SETTLE(CALIBRATED) SETTLE(LEAKY)
#undef SETTLE
                }
            }
    }
}
