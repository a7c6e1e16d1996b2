/* Layers in bytes on processors with a matrix unit (Intel AMX).
 *
 * One instruction multiplies a tile of 16 rows of 64 spikes by a tile of 64 x 16 weights. The rows are the time
 * steps of one pixel (and where there are fewer than 16, of several images); the 64 bytes are what a row of the
 * filter meets, which lies in one run, channels last. So the result is what the neurons of one pixel and 16
 * channels need, step after step. Where steps and images are too few, rows are neighbouring pixels in one step.
 *
 * Spikes are copied first, a band of rows at a time, with zeros for padding: [row][time step][column][channel].
 * Bytes that a tile reads beyond its run meet weights of zero.
 */
#if defined(__AMX_INT8__) && defined(__linux__)
#define HAS_TILES 1
#include <omp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tiles_neurons.h"

#define ROWS 16         /* of a tile */
#define DEPTH 64        /* spikes of a tile's row */
#define TILE_BYTES 1024
#define BAND_BYTES (384 * 1024) /* of spikes that stay in the second-level cache, on either side of a layer */

/* The system gives out the registers of the matrix unit on request, once for a process; 1 if it does. */
int64_t has_tiles(void) {
    static int64_t given = -1;
    if (given < 0) given = syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tiles */) == 0;
    return given;
}

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
    int64_t abreast;   /* pixels that are the rows of a tile; 1: rows are steps */
    int64_t apart;     /* bytes from one row of a tile to the next */
    int64_t is_unsigned; /* spikes are bytes without a sign */
    int64_t inputs;    /* channels of a group */
} cut;

/* Pixels that fill a tile better than these steps of images do; 1 if none do. */
static int64_t abreast_of(const layer *l, int64_t steps) {
    const int64_t tiles = (l->out_width + ROWS - 1) / ROWS, pixels = (l->out_width + tiles - 1) / tiles;
    return l->digits && pixels > 2 * steps ? pixels : 1;
}

static cut cut_of(const layer *l, int64_t threads) {
    cut c = {0};
    const int joined = l->dilation_w == 1;
    const int64_t inputs = l->digits ? l->channels / l->groups : 0;
    const int64_t run = (joined ? l->kernel_w : 1) * inputs, runs = l->kernel_h * (joined ? 1 : l->kernel_w);
    const int64_t each = (run + DEPTH - 1) / DEPTH, wanted = 8 * threads; /* so that none waits long for another */
    c.is_unsigned = l->is_unsigned;
    c.inputs = inputs;
    c.together = l->steps < ROWS ? ROWS / l->steps : 1;
    c.groups = (l->images + c.together - 1) / c.together;
    c.entries = l->digits ? runs * each : 0;
    c.depth = run < DEPTH ? run : DEPTH;
    c.width = (l->out_width - 1) * l->stride_w + (l->kernel_w - 1) * l->dilation_w + 1;
    c.row = ((c.width * inputs + 63) / 64 | 1) * 64;
    c.abreast = abreast_of(l, l->images < c.together ? l->images * l->steps : c.together * l->steps);
    c.apart = c.abreast > 1 ? l->stride_w * inputs : c.row;
    const int64_t most = l->out_height * c.groups / wanted, least = (l->out_height + 3) / 4;
    const int64_t sent = BAND_BYTES / (ROWS * l->out_width * l->outputs);
    c.rows_out = most < least ? least : most < l->out_height ? most : l->out_height;
    if (c.rows_out > sent) c.rows_out = sent < 1 ? 1 : sent;
    if (l->digits) {
        const int64_t above = (l->kernel_h - 1) * l->dilation_h + 1 - l->stride_h; /* rows beside stride_h for each */
        const int64_t fit = (BAND_BYTES / (ROWS * c.row) - above) / l->stride_h;
        if (c.rows_out > fit) c.rows_out = fit < 1 ? 1 : fit;
        c.rows_in = c.rows_out * l->stride_h + above;
    }
    c.bands = (l->out_height + c.rows_out - 1) / c.rows_out;
    c.units = l->digits ? l->outputs / (LANES * l->vectors) : 1;
    c.parts = wanted / (c.bands * c.groups);
    if (c.parts > c.units) c.parts = c.units;
    if (c.parts < 1) c.parts = 1;
    c.offsets = malloc((c.entries + 1) * sizeof(int64_t));
    for (int64_t e = 0; e < c.entries; e++) {
        const int64_t r = e / each, ky = joined ? r : r / l->kernel_w, kx = joined ? 0 : r % l->kernel_w;
        c.offsets[e] = ky * l->dilation_h * ROWS * c.row + kx * l->dilation_w * inputs + e % each * DEPTH;
    }
    return c;
}

/* Copy the channels of one group from a line of pixels. */
INLINE void copy_group(const layer *l, const cut *c, int8_t *to, const int8_t *from, int64_t pixels) {
    if (c->inputs % 16 == 0) {
        for (int64_t x = 0; x < pixels; x++)
            for (int64_t n = 0; n < c->inputs; n += 16) memcpy(to + x * c->inputs + n, from + x * l->channels + n, 16);
        return;
    }
    for (int64_t x = 0; x < pixels; x++)
        for (int64_t n = 0; n < c->inputs; n += 4) memcpy(to + x * c->inputs + n, from + x * l->channels + n, 4);
}

/* Copy what rows [y, y + rows_in) of the padded image hold of a group of channels, for `images` images from b and
 * `steps` steps from t. The columns of the padding are zero already. */
static void copy_spikes(
    const layer *l, const cut *c, int8_t *to, int64_t group, int64_t y, int64_t b, int64_t images, int64_t t,
    int64_t steps) {
    const int64_t left = l->pad_w, fits = c->width - left, pixels = l->width < fits ? l->width : fits;
    for (int64_t r = 0; r < images * steps && pixels > 0; r++) {
        const int64_t image = (t + r % steps) * l->images + b + r / steps;
        for (int64_t i = 0; i < c->rows_in; i++) {
            int8_t *row = to + (i * ROWS + r) * c->row + left * c->inputs;
            const int64_t from = y + i - l->pad_h;
            const int8_t *line = l->spikes + (image * l->height + from) * l->width * l->channels + group * c->inputs;
            if (from < 0 || from >= l->height) memset(row, 0, pixels * c->inputs);
            else if (l->groups == 1) memcpy(row, line, pixels * c->inputs);
            else copy_group(l, c, row, line, pixels);
        }
    }
}

#define MULTIPLY(TO, SPIKES, WEIGHTS) \
    if (is_unsigned) _tile_dpbusd(TO, SPIKES, WEIGHTS); \
    else _tile_dpbssd(TO, SPIKES, WEIGHTS)

/* Sums of one or two pixels and one or two columns of weights: sums[pixel][column], a tile each. */
INLINE void multiply_tiles(
    const cut *c, const int8_t *const *at, const int8_t *weights, const int columns, int32_t *sums, const int pixels,
    const int two, const int is_unsigned) {
    _tile_zero(0);
    if (two) _tile_zero(1);
    if (pixels == 2) _tile_zero(2);
    if (pixels == 2 && two) _tile_zero(3);
    for (int64_t e = 0; e < c->entries; e++, weights += columns * TILE_BYTES) {
        _tile_loadd(4, at[0] + c->offsets[e], c->apart);
        _tile_loadd(6, weights, 64);
        MULTIPLY(0, 4, 6);
        if (two) {
            _tile_loadd(7, weights + TILE_BYTES, 64);
            MULTIPLY(1, 4, 7);
        }
        if (pixels == 2) {
            _tile_loadd(5, at[1] + c->offsets[e], c->apart);
            MULTIPLY(2, 5, 6);
            if (two) { MULTIPLY(3, 5, 7); }
        }
    }
    _tile_stored(0, sums, 64);
    if (two) _tile_stored(1, sums + SUMS, 64);
    if (pixels == 2) _tile_stored(2, sums + columns * SUMS, 64);
    if (pixels == 2 && two) _tile_stored(3, sums + (columns + 1) * SUMS, 64);
}

#undef MULTIPLY

/* Sums of some tiles of rows and all columns of a unit: sums[tile][column]. */
INLINE void multiply_all(
    const cut *c, const int8_t *const *at, const int8_t *weights, int32_t *sums, int64_t tiles, const int columns) {
    for (int64_t i = 0; i < tiles; i += 2)
        for (int column = 0; column < columns; column += 2) {
            const int8_t *own = weights + column * TILE_BYTES;
            int32_t *into = sums + (i * columns + column) * SUMS;
            const int two = columns - column >= 2;
            if (c->is_unsigned) {
                if (tiles - i >= 2 && two) multiply_tiles(c, at + i, own, columns, into, 2, 1, 1);
                else if (tiles - i >= 2) multiply_tiles(c, at + i, own, columns, into, 2, 0, 1);
                else if (two) multiply_tiles(c, at + i, own, columns, into, 1, 1, 1);
                else multiply_tiles(c, at + i, own, columns, into, 1, 0, 1);
            } else if (tiles - i >= 2 && two) multiply_tiles(c, at + i, own, columns, into, 2, 1, 0);
            else if (tiles - i >= 2) multiply_tiles(c, at + i, own, columns, into, 2, 0, 0);
            else if (two) multiply_tiles(c, at + i, own, columns, into, 1, 1, 0);
            else multiply_tiles(c, at + i, own, columns, into, 1, 0, 0);
        }
}

/* One unit of channels, for pixels [from, to) of the output, where rows of tiles are time steps. */
INLINE void run_steps(
    const layer *l, const cut *c, const int8_t *spikes, int32_t *sums, int64_t unit, int64_t from, int64_t to,
    int64_t b, int64_t images, int64_t t, int64_t steps, const int digits, const int vectors) {
    const int columns = digits * vectors;
    const int8_t *weights = l->weights + unit * c->entries * columns * TILE_BYTES;
    for (int64_t pixel = from; pixel < to; pixel += NEIGHBOURS) {
        const int64_t pixels = to - pixel < NEIGHBOURS ? to - pixel : NEIGHBOURS;
        const int8_t *at[NEIGHBOURS];
        for (int64_t i = 0; i < pixels; i++) {
            const int64_t y = (pixel + i - from) / l->out_width, x = (pixel + i - from) % l->out_width;
            at[i] = spikes + y * l->stride_h * ROWS * c->row + x * l->stride_w * c->inputs;
        }
        multiply_all(c, at, weights, sums, pixels, columns);
        for (int k = 0; k < vectors; k++)
            for (int64_t image = 0; image < images; image++) {
                const int64_t place = pixel * l->outputs + (unit * vectors + k) * LANES;
                const int64_t row = image * steps;
                settlers[digits](l, sums, k * digits, row, place, pixels, b + image, t, steps, columns * SUMS);
            }
    }
}

/* One unit of channels, for rows [first, last) of the output, where rows of tiles are pixels abreast. */
INLINE void run_abreast(
    const layer *l, const cut *c, const int8_t *spikes, int32_t *sums, int64_t unit, int64_t first, int64_t last,
    int64_t b, int64_t images, int64_t t, int64_t steps, const int digits, const int vectors) {
    const int columns = digits * vectors;
    const int8_t *weights = l->weights + unit * c->entries * columns * TILE_BYTES;
    for (int64_t r = 0; r < images * steps; r++)
        for (int64_t y = first; y < last; y++)
            for (int64_t x = 0; x < l->out_width; x += 2 * c->abreast) {
                const int64_t left = l->out_width - x, tiles = left > c->abreast ? 2 : 1;
                const int8_t *at[2];
                for (int i = 0; i < 2; i++)
                    at[i] = spikes + ((y - first) * l->stride_h * ROWS + r) * c->row + (x + i * c->abreast) * c->apart;
                multiply_all(c, at, weights, sums, tiles, columns);
                for (int k = 0; k < vectors; k++)
                    for (int64_t i = 0; i < tiles; i++) {
                        const int64_t rest = left - i * c->abreast, pixels = rest < c->abreast ? rest : c->abreast;
                        const int64_t pixel = y * l->out_width + x + i * c->abreast;
                        const int64_t place = pixel * l->outputs + (unit * vectors + k) * LANES;
                        settlers[digits](
                            l, sums + i * columns * SUMS, k * digits, 0, place, pixels, b + r / steps, t + r % steps, 1,
                            LANES);
                    }
            }
}

/* Neurons without synapses, places [from, to) of the output. */
static void run_places(const layer *l, int64_t from, int64_t to, int64_t b, int64_t images, int64_t t, int64_t steps) {
    for (int64_t image = 0; image < images; image++)
        settle_0(l, 0, 0, 0, from, (to - from) / LANES, b + image, t, steps, 0);
}

static void set_tiles(int64_t rows, int64_t depth) {
    tile_shapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shapes.rows[i] = i < 6 ? rows : depth / 4;
        shapes.row_bytes[i] = i == 4 || i == 5 ? depth : 64;
    }
    _tile_loadconfig(&shapes);
}

/* Add the counts of rows [first, last) to those of all images, and clear them. */
static void collect(const layer *l, float *counts, omp_lock_t *lock, int64_t first, int64_t last) {
    const int64_t row = l->out_width * l->outputs, all = (last - first) * row;
    omp_set_lock(lock);
    for (int64_t n = 0; n < all; n++) l->counts[first * row + n] += counts[n];
    omp_unset_lock(lock);
    memset(counts, 0, all * sizeof(float));
}

/* A group of images, a band of rows and a part of the channels, for all steps; `counts` has room for those of a band,
 * and is zero before and after. */
static void run_item(
    const layer *given, const cut *c, int8_t *spikes, int32_t *sums, float *counts, omp_lock_t *locks, int64_t item) {
    const int64_t part = item % c->parts, band = item / c->parts % c->bands, first = band * c->rows_out;
    const int64_t last = first + c->rows_out < given->out_height ? first + c->rows_out : given->out_height;
    const int64_t b = item / (c->parts * c->bands) * c->together;
    layer own = *given;
    own.counts = counts - first * own.out_width * own.outputs;
    const layer *l = &own; /* nothing written below can change it, and the compiler knows */
    const int64_t images = l->images - b < c->together ? l->images - b : c->together;
    for (int64_t t = 0; t < l->steps; t += ROWS) {
        const int64_t steps = l->steps - t < ROWS ? l->steps - t : ROWS;
        if (l->digits) set_tiles(c->abreast > 1 ? c->abreast : images * steps, c->depth);
        const int64_t from = first * l->out_width, to = last * l->out_width;
        if (!l->digits) run_places(l, from * l->outputs, to * l->outputs, b, images, t, steps);
        int64_t copied = -1;
        for (int64_t unit = part * c->units / c->parts; unit < (part + 1) * c->units / c->parts; unit++) {
            const int64_t group = l->digits ? unit * l->groups / c->units : 0;
            if (l->digits && group != copied) {
                copy_spikes(l, c, spikes, group, first * l->stride_h, b, images, t, steps);
                copied = group;
            }
            switch (l->digits * 2 + l->vectors - 1) {
#define UNIT(P, V) \
    case P * 2 + V - 1: \
        if (c->abreast > 1) run_abreast(l, c, spikes, sums, unit, first, last, b, images, t, steps, P, V); \
        else run_steps(l, c, spikes, sums, unit, from, to, b, images, t, steps, P, V); \
        break;
                UNIT(1, 1)
                UNIT(1, 2)
                UNIT(2, 1)
                UNIT(3, 1)
                UNIT(3, 2)
#undef UNIT
            }
        }
    }
    if (given->counts) collect(given, counts, locks + band, first, last);
}

static void run_tiles(const layer *l, int64_t threads) {
    if (!l->images) return;
    cut c = cut_of(l, threads);
    const int64_t beyond = c.abreast > 1 ? 2 * ROWS * c.apart : 0; /* tiles of pixels go on behind the last row */
    const int64_t bytes = l->digits ? (c.rows_in * ROWS * c.row + beyond + DEPTH + 63) / 64 * 64 : 0;
    const int64_t sums = NEIGHBOURS * (l->digits * l->vectors + 1) * TILE_BYTES;
    const int64_t counts = l->counts ? c.rows_out * l->out_width * l->outputs * sizeof(float) : 0;
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
        for (int64_t item = 0; item < c.groups * c.bands * c.parts; item++)
            run_item(l, &c, scratch, own_sums, own_counts, locks, item);
        if (l->digits) _tile_release();
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
