/* Layers in bytes on processors with a matrix unit (Intel AMX).
 *
 * One instruction multiplies a tile of 16 rows of 64 spikes by a tile of 64 x 16 weights. The rows are the time
 * steps of one pixel (and where there are fewer than 16, of several images); the 64 bytes are what a row of the
 * filter meets, which lies in one run, channels last. So the result is what the neurons of one pixel and 16
 * channels need, step after step.
 *
 * Spikes are copied first, a band of rows at a time, with zeros for padding: [row][time step][column][channel].
 * Bytes that a tile reads beyond its run meet weights of zero.
 */
#if defined(__AMX_INT8__) && defined(__linux__)
#define HAS_TILES 1
#include <omp.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROWS 16         /* of a tile */
#define DEPTH 64        /* spikes of a tile's row */
#define TILE_BYTES 1024
#define NEIGHBOURS 4    /* pixels whose neurons fire together */
#define BAND_BYTES (384 * 1024) /* of spikes in the second-level cache */

/* The system gives out the registers of the matrix unit on request; 1 if it does. */
int64_t has_tiles(void) { return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tiles */) == 0; }

typedef struct {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/* What all threads share: how one layer is cut. */
typedef struct {
    int64_t entries;   /* tiles of weights below each other */
    int64_t *offsets;  /* [entries]: bytes from a pixel's first spike to those of an entry */
    int64_t depth;     /* bytes of a row that count */
    int64_t row;       /* bytes from one time step to the next: an odd number of cache lines */
    int64_t width;     /* columns with padding */
    int64_t rows_in;   /* rows of spikes of one band, with padding */
    int64_t rows_out, bands, units, parts; /* rows of one band; units: of 16 * vectors channels; parts: of them */
    int64_t together, groups; /* images whose steps share tiles, where there are few steps; groups of them */
} cut;

static cut cut_of(const layer *l, int64_t threads) {
    cut c = {0};
    const int joined = l->dilation_w == 1;
    const int64_t run = (joined ? l->kernel_w : 1) * l->channels, runs = l->kernel_h * (joined ? 1 : l->kernel_w);
    const int64_t each = (run + DEPTH - 1) / DEPTH, wanted = 8 * threads; /* so that none waits long for another */
    c.together = l->steps < ROWS ? ROWS / l->steps : 1;
    c.groups = (l->images + c.together - 1) / c.together;
    c.entries = l->planes ? runs * each : 0;
    c.depth = run < DEPTH ? run : DEPTH;
    c.width = (l->out_width - 1) * l->stride_w + (l->kernel_w - 1) * l->dilation_w + 1;
    c.row = ((c.width * l->channels + 63) / 64 | 1) * 64;
    const int64_t most = l->out_height * c.groups / wanted, least = (l->out_height + 3) / 4;
    c.rows_out = most < least ? least : most < l->out_height ? most : l->out_height;
    if (l->planes) {
        const int64_t above = (l->kernel_h - 1) * l->dilation_h + 1 - l->stride_h; /* rows beside stride_h for each */
        const int64_t fit = (BAND_BYTES / (ROWS * c.row) - above) / l->stride_h;
        if (c.rows_out > fit) c.rows_out = fit < 1 ? 1 : fit;
        c.rows_in = c.rows_out * l->stride_h + above;
    }
    c.bands = (l->out_height + c.rows_out - 1) / c.rows_out;
    c.units = l->outputs / (LANES * l->vectors);
    c.parts = wanted / (c.bands * c.groups);
    if (c.parts > c.units) c.parts = c.units;
    if (c.parts < 1) c.parts = 1;
    c.offsets = malloc((c.entries + 1) * sizeof(int64_t));
    for (int64_t e = 0; e < c.entries; e++) {
        const int64_t r = e / each, ky = joined ? r : r / l->kernel_w, kx = joined ? 0 : r % l->kernel_w;
        c.offsets[e] = ky * l->dilation_h * ROWS * c.row + kx * l->dilation_w * l->channels + e % each * DEPTH;
    }
    return c;
}

INLINE void copy_bytes(int8_t *to, const int8_t *from, int64_t bytes) {
    for (; bytes >= 64; bytes -= 64, to += 64, from += 64) memcpy(to, from, 64);
    if (bytes) memcpy(to, from, bytes);
}

/* Copy what rows [y, y + rows_in) of the padded image hold, for `images` images from b and `steps` steps from t.
 * The columns of the padding are zero already. */
static void copy_spikes(
    const layer *l, const cut *c, int8_t *to, int64_t y, int64_t b, int64_t images, int64_t t, int64_t steps) {
    const int64_t left = l->pad_w * l->channels, line = l->width * l->channels;
    const int64_t fits = c->width * l->channels - left, copied = line < fits ? line : fits;
    for (int64_t r = 0; r < images * steps && copied > 0; r++) {
        const int64_t image = (t + r % steps) * l->images + b + r / steps;
        for (int64_t i = 0; i < c->rows_in; i++) {
            int8_t *row = to + (i * ROWS + r) * c->row + left;
            const int64_t from = y + i - l->pad_h;
            if (from < 0 || from >= l->height) memset(row, 0, copied);
            else copy_bytes(row, l->spikes + (image * l->height + from) * line, copied);
        }
    }
}

/* Sums of one or two neighbouring pixels and one or two columns of weights: sums[pixel][column], a tile each. */
INLINE void multiply_tiles(
    const cut *c, const int8_t *pixel, int64_t apart, const int8_t *weights, int64_t columns, int32_t *sums,
    const int pixels, const int two) {
    _tile_zero(0);
    if (two) _tile_zero(1);
    if (pixels == 2) _tile_zero(2);
    if (pixels == 2 && two) _tile_zero(3);
    for (int64_t e = 0; e < c->entries; e++, weights += columns * TILE_BYTES) {
        const int8_t *from = pixel + c->offsets[e];
        _tile_loadd(4, from, c->row);
        _tile_loadd(6, weights, 64);
        _tile_dpbssd(0, 4, 6);
        if (two) {
            _tile_loadd(7, weights + TILE_BYTES, 64);
            _tile_dpbssd(1, 4, 7);
        }
        if (pixels == 2) {
            _tile_loadd(5, from + apart, c->row);
            _tile_dpbssd(2, 5, 6);
            if (two) _tile_dpbssd(3, 5, 7);
        }
    }
    _tile_stored(0, sums, 64);
    if (two) _tile_stored(1, sums + 256, 64);
    if (pixels == 2) _tile_stored(2, sums + columns * 256, 64);
    if (pixels == 2 && two) _tile_stored(3, sums + (columns + 1) * 256, 64);
}

/* Everything that follows the sums, for some neighbouring pixels, 16 channels, and the steps of one image. */
INLINE void settle(
    const layer *l, const int32_t *sums, int64_t column, int64_t columns, int64_t row, int64_t channel, int64_t y,
    int64_t x, int64_t b, int64_t t, int64_t steps, const int pixels, const int planes, const int kind) {
    const int64_t map = l->out_height * l->out_width * l->outputs;
    const int64_t place = (y * l->out_width + x) * l->outputs + channel, at = b * map + place;
    const vec scale = planes ? load(l->scale + channel) : all(0), bias = load(l->bias + channel);
    vec state[NEIGHBOURS][MAX_STATES], counted[NEIGHBOURS];
    for (int i = 0; i < pixels; i++) {
        counted[i] = all(0);
        for (int s = 0; s < states_of(kind) && kind != NONE; s++)
            state[i][s] = load(l->neurons.state[s] + at + i * l->outputs);
    }
    for (int64_t step = 0; step < steps; step++) {
        vec currents[NEIGHBOURS];
        for (int i = 0; i < pixels; i++) {
            currents[i] = bias;
            if (!planes) continue;
            const int32_t *own = sums + (i * columns + column) * 256 + (row + step) * LANES;
            ivec sum = load_whole(own + (planes - 1) * 256);
            for (int p = planes - 2; p >= 0; p--) sum = (sum << 8) + load_whole(own + p * 256);
            currents[i] = multiply_add(floats(sum), scale, bias);
        }
        for (int64_t a = 0; a < l->addends; a++) {
            const addend *add = &l->add[a];
            const vec own = load(add->scale + channel);
            const int64_t from = (t + step) * add->step + at;
            if (add->is_spikes)
                for (int i = 0; i < pixels; i++)
                    currents[i] = multiply_add(
                        own, load_spikes((const int8_t *)add->values + from + i * l->outputs), currents[i]);
            else
                for (int i = 0; i < pixels; i++)
                    currents[i] =
                        multiply_add(own, load((const float *)add->values + from + i * l->outputs), currents[i]);
        }
        const int64_t to = (t + step) * l->images * map + at;
        for (int i = 0; i < pixels; i++) {
            if (kind == NONE) {
                store(l->currents + to + i * l->outputs, currents[i]);
                continue;
            }
            int8_t *fired = l->fired + to + i * l->outputs;
            if (kind == BINARY) {
                const vec v = state[i][MEMBRANE] + currents[i];
                const mask fires = at_least(v, all(1));
                state[i][MEMBRANE] = add_where(fires, v, all(-1));
                counted[i] = add_where(fires, counted[i], all(1));
                _mm_storeu_si128((__m128i *)fired, _mm_maskz_set1_epi8(fires, 1));
                continue;
            }
            const vec spikes = fire(&l->neurons, state[i], currents[i], t + step, kind);
            counted[i] += events(spikes, kind);
            store_spikes(fired, spikes);
        }
    }
    if (kind == NONE) return;
    for (int i = 0; i < pixels; i++) {
        float *counts = l->counts + place + i * l->outputs;
        store(counts, load(counts) + counted[i]);
        for (int s = 0; s < states_of(kind); s++)
            store(l->neurons.state[s] + at + i * l->outputs, state[i][s]);
    }
}

/* One unit of channels, for a row of the band, and the steps of some images. */
INLINE void run_tile_row(
    const layer *l, const cut *c, const int8_t *spikes, int32_t *sums, int64_t unit, int64_t y, int64_t b,
    int64_t images, int64_t t, int64_t steps, const int planes, const int vectors) {
    const int columns = planes * vectors;
    const int8_t *weights = l->weights + unit * c->entries * columns * TILE_BYTES;
    const int64_t apart = l->stride_w * l->channels;
    for (int64_t x = 0; x < l->out_width; x += NEIGHBOURS) {
        const int64_t left = l->out_width - x, pixels = left < NEIGHBOURS ? left : NEIGHBOURS;
        for (int64_t i = 0; i < pixels; i += 2)
            for (int column = 0; column < columns; column += 2) {
                const int8_t *from = spikes + (x + i) * apart, *own = weights + column * TILE_BYTES;
                int32_t *to = sums + (i * columns + column) * 256;
                if (pixels - i >= 2 && columns - column >= 2) multiply_tiles(c, from, apart, own, columns, to, 2, 1);
                else if (pixels - i >= 2) multiply_tiles(c, from, apart, own, columns, to, 2, 0);
                else if (columns - column >= 2) multiply_tiles(c, from, apart, own, columns, to, 1, 1);
                else multiply_tiles(c, from, apart, own, columns, to, 1, 0);
            }
        for (int k = 0; k < vectors; k++)
            for (int64_t image = 0; image < images; image++) {
                const int64_t channel = (unit * vectors + k) * LANES;
#define SETTLE(KIND) \
    case KIND: \
        if (pixels == NEIGHBOURS) \
            settle(l, sums, k * planes, columns, image * steps, channel, y, x, b + image, t, steps, NEIGHBOURS, planes, KIND); \
        else \
            for (int64_t i = 0; i < pixels; i++) \
                settle(l, sums + i * columns * 256, k * planes, columns, image * steps, channel, y, x + i, b + image, t, steps, 1, planes, KIND); \
        break;
                switch (l->neurons.kind) {
                    SETTLE(NONE) SETTLE(BINARY) SETTLE(BURST) SETTLE(SIGNED) SETTLE(CALIBRATED) SETTLE(LEAKY)
                    SETTLE(DIFFERENTIAL)
                }
#undef SETTLE
            }
    }
}

static void set_tiles(int64_t rows, int64_t depth) {
    tile_shapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shapes.rows[i] = i < 6 ? rows : depth / 4;
        shapes.row_bytes[i] = i == 4 || i == 5 ? depth : 64;
    }
    _tile_loadconfig(&shapes);
}

/* A group of images, a band of rows and a part of the channels, for all steps; `counts` are those of the band. */
static void run_item(const layer *given, const cut *c, int8_t *spikes, int32_t *sums, float *counts, int64_t item) {
    const int64_t part = item % c->parts, first = item / c->parts % c->bands * c->rows_out;
    const int64_t last = first + c->rows_out < given->out_height ? first + c->rows_out : given->out_height;
    const int64_t b = item / (c->parts * c->bands) * c->together;
    layer own = *given;
    own.counts = counts - first * own.out_width * own.outputs;
    const layer *l = &own; /* nothing written below can change it, and the compiler knows */
    const int64_t images = l->images - b < c->together ? l->images - b : c->together;
    for (int64_t t = 0; t < l->steps; t += ROWS) {
        const int64_t steps = l->steps - t < ROWS ? l->steps - t : ROWS;
        if (l->planes) {
            copy_spikes(l, c, spikes, first * l->stride_h, b, images, t, steps);
            set_tiles(images * steps, c->depth);
        }
        for (int64_t unit = part * c->units / c->parts; unit < (part + 1) * c->units / c->parts; unit++)
            for (int64_t y = first; y < last; y++) {
                const int8_t *from = spikes + (y - first) * l->stride_h * ROWS * c->row;
                switch (l->planes * 2 + l->vectors - 1) {
#define TILES(P, V) case P * 2 + V - 1: run_tile_row(l, c, from, sums, unit, y, b, images, t, steps, P, V); break;
                    TILES(0, 1) TILES(1, 1) TILES(1, 2) TILES(2, 1) TILES(3, 1) TILES(3, 2)
#undef TILES
                }
            }
    }
}

/* Add the counts of an item to those of all images, and clear them. */
static void collect(const layer *l, const cut *c, float *counts, omp_lock_t *locks, int64_t item) {
    const int64_t band = item / c->parts % c->bands, row = l->out_width * l->outputs, first = band * c->rows_out;
    const int64_t rows = l->out_height - first < c->rows_out ? l->out_height - first : c->rows_out;
    omp_set_lock(locks + band);
    for (int64_t n = 0; n < rows * row; n++) l->counts[first * row + n] += counts[n];
    omp_unset_lock(locks + band);
    memset(counts, 0, rows * row * sizeof(float));
}

static void run_tiles(const layer *l, int64_t threads) {
    cut c = cut_of(l, threads);
    const int64_t bytes = l->planes ? (c.rows_in * ROWS * c.row + DEPTH + 63) / 64 * 64 : 0;
    const int64_t sums = NEIGHBOURS * (l->planes * l->vectors + 1) * TILE_BYTES;
    const int64_t counts = c.rows_out * l->out_width * l->outputs * sizeof(float);
    omp_lock_t *locks = malloc(c.bands * sizeof(omp_lock_t));
    for (int64_t band = 0; band < c.bands; band++) omp_init_lock(locks + band);
#pragma omp parallel num_threads(threads)
    {
        int8_t *scratch = aligned_alloc(64, bytes + sums + (counts + 63) / 64 * 64);
        int32_t *own_sums = (int32_t *)(scratch + bytes);
        float *own_counts = (float *)(scratch + bytes + sums);
        memset(scratch, 0, bytes);
        memset(own_counts, 0, counts);
#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < c.groups * c.bands * c.parts; item++) {
            run_item(l, &c, scratch, own_sums, own_counts, item);
            if (l->counts) collect(l, &c, own_counts, locks, item);
        }
        if (l->planes) _tile_release();
        free(scratch);
    }
    for (int64_t band = 0; band < c.bands; band++) omp_destroy_lock(locks + band);
    free(locks);
    free(c.offsets);
}
#else
int64_t has_tiles(void) { return 0; }
static void run_tiles(const layer *l, int64_t threads) {}
#endif
