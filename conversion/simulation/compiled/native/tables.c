/* Layers of spiking networks, by looking sums up instead of multiplying.
 *
 * A group of binary spikes is an index into a table of all partial sums of its weights. The processor permutes
 * a register by such indices: one instruction does the work of many multiply-accumulates. How many spikes
 * make a group, and what a table looks like, depends on the processor: lookup_512.h and lookup_256.h.
 *
 * The 32 lanes of an index are different images and time steps of one pixel (`lane` = step * images +
 * image), so all of them share the same tables, whatever kernel, stride or dilation. Sums are integers
 * and exact: results do not depend on the order of additions, on threads or on chunks of time.
 *
 * This file: indices of spikes, and the entry points. tables_bits.h: bits of spikes. tables_kernel.h: sums and
 * neurons.
 */
#include <stdlib.h>
#include <unistd.h>

#include "tables.h"

#if HAS_TABLES
#include "tables_bits.h"
#if LANES == 16
#include "lookup_512.h"
#else
#include "lookup_256.h"
#endif
#include "tables_kernel.h"

/* Bits of one channel in the lanes of one vector of steps; `bits` are those of its first step. */
INLINE uint32_t lanes_of(const uint8_t *bits, int64_t steps, const int images) {
    const int64_t size = images < 8 ? 1 : images / 8;
    uint32_t lanes = 0;
    for (int64_t r = 0; r < VECTOR / images && r < steps; r++) {
        uint32_t piece = 0;
        memcpy(&piece, bits + r * CHANNELS * size, size);
        lanes |= piece << (r * images);
    }
    return lanes;
}

/* Indices of one pixel, and what each of its channels sent: the size of a negative number is minus the sum
 * of the weights of its bits. */
INLINE void index_pixel(const index_job *job, int64_t plane, int64_t pixel, const int images, const int group) {
    const index_job own = *job;
    const int64_t size = images < 8 ? 1 : images / 8, step = CHANNELS * size, vectors = own.vectors;
    const int64_t groups = (own.channels + group - 1) / group, pixels = own.height * own.width;
    const int64_t row = plane * own.height + pixel / own.width, x = pixel % own.width;
    const uint8_t *all = own.bits + (pixel * own.planes + plane) * own.steps * step;
    const int64_t block = pixels * own.planes * own.steps * step;
    const int64_t to_signs = (own.planes - 1 - plane) * own.steps * step;
    const int is_signed = own.weights[own.planes - 1] < 0;
    uint16_t *index = own.index + row * own.width * groups * vectors * VECTOR;
    for (int64_t g = 0; g < groups; g++) {
        const uint8_t *bits[NARROW_GROUP];
        int64_t fired[NARROW_GROUP] = {0};
        const int64_t first = g * group, some = own.channels - first < group ? own.channels - first : group;
        for (int64_t j = 0; j < some; j++)
            bits[j] = all + (first + j) / CHANNELS * block + (first + j) % CHANNELS * size;
        for (int64_t v = 0; v < vectors; v++) {
            const int64_t begin = v * (VECTOR / images), left = own.steps - begin;
            places lanes = no_spikes();
            for (int64_t j = 0; j < some; j++) {
                const uint32_t mask = lanes_of(bits[j] + begin * step, left, images);
                fired[j] += __builtin_popcount(mask);
                if (is_signed)
                    fired[j] -=
                        2 * __builtin_popcount(mask & lanes_of(bits[j] + to_signs + begin * step, left, images));
                lanes = with_spikes(lanes, mask, j);
            }
            const int64_t quartet = v / QUARTET * QUARTET, wide = quartet_size(vectors, quartet);
            const int64_t to = (quartet * own.width + x * wide) * groups + g * wide + v % QUARTET;
            if (own.index) store_places(index + to * VECTOR, lanes);
        }
        for (int64_t j = 0; j < some && own.counts; j++)
            own.counts[pixel * own.channels + first + j] += (float)(own.weights[plane] * fired[j]);
    }
}

/* Make indices of spikes and count them: threads share nothing. */
void index_spikes(const index_job *job, int64_t threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t y = 0; y < job->height; y++)
        for (int64_t x = 0; x < job->width; x++)
            for (int64_t plane = 0; plane < job->planes; plane++) {
                const int64_t pixel = y * job->width + x;
                switch (job->images) {
#define CASE(I) \
    case I: \
        if (job->group == NARROW_GROUP) index_pixel(job, plane, pixel, I, NARROW_GROUP); \
        else index_pixel(job, plane, pixel, I, WIDE_GROUP); \
        break;
                    CASE(4)
                    CASE(8)
                    CASE(16)
                    CASE(32)
#undef CASE
                }
            }
}

/* Sums of 4 channels of one pixel, a register at once. */
INLINE void sum_place(const index_job *job, float *sums, int64_t place, const int images) {
    const int64_t row = CHANNELS * images;
    for (int64_t n = 0; n < row; n += LANES) {
        vec sum = all(0);
        for (int64_t p = 0; p < job->planes; p++)
            for (int64_t t = 0; t < job->steps; t++) {
                const int64_t at = ((place * job->planes + p) * job->steps + t) * row + n;
                sum = add_where(load_bits(job->bits, at, images), sum, all((float)job->weights[p]));
            }
        store(sums + place * row + n, sum);
    }
}

/* Spikes of each neuron summed over time, [C / 4, H, W, 4, images]. */
void sum_spikes(const index_job *job, float *sums, int64_t threads) {
    const int64_t places = job->height * job->width * job->channels / CHANNELS;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t place = 0; place < places; place++) switch (job->images) {
            case 4: sum_place(job, sums, place, 4); break;
            case 8: sum_place(job, sums, place, 8); break;
            case 16: sum_place(job, sums, place, 16); break;
            case 32: sum_place(job, sums, place, 32); break;
        }
}

/* Bytes of indices that stay in the second-level cache beside everything else. */
static int64_t band_bytes(void) {
#if defined(_SC_LEVEL2_CACHE_SIZE)
    const int64_t cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (cache > 0) return cache * 5 / 8;
#endif
    return 640 * 1024;
}

/* Rows of output pixels whose indices stay in the second-level cache while all channels pass over them. */
static int64_t rows_of_band(const table_layer *l, int64_t threads) {
    const int64_t row = l->planes * l->width * l->groups * l->vectors * VECTOR * sizeof(uint16_t);
    const int64_t reach = (l->kernel_h - 1) * l->dilation_h;
    const int64_t rows = l->index ? (band_bytes() / row - reach) / l->stride_h : l->out_height;
    const int64_t share = (l->out_height + threads - 1) / threads; /* something for every thread */
    const int64_t most = rows < share ? rows : share;
    return most < 1 ? 1 : most;
}

/* Run a layer for a chunk of time: bands of rows times blocks of output channels, threads share nothing. */
void run_tables(const table_layer *l, int64_t threads) {
    const int64_t blocks = l->outputs / CHANNELS, rows = rows_of_band(l, threads);
    const int64_t bands = (l->out_height + rows - 1) / rows;
#pragma omp parallel num_threads(threads)
    {
        scratch s = new_scratch(l);
#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < blocks * bands; item++) {
            const int64_t block = item % blocks, from = item / blocks * rows;
            const int64_t to = from + rows < l->out_height ? from + rows : l->out_height;
            switch (l->images) {
                case 4: run_band(l, &s, block, from, to, 4); break;
                case 8: run_band(l, &s, block, from, to, 8); break;
                case 16: run_band(l, &s, block, from, to, 16); break;
                case 32: run_band(l, &s, block, from, to, 32); break;
            }
        }
        free_scratch(&s);
    }
}
#else
void index_spikes(const index_job *job, int64_t threads) {}
void sum_spikes(const index_job *job, float *sums, int64_t threads) {}
void run_tables(const table_layer *l, int64_t threads) {}
#define NARROW_GROUP 0
#define WIDE_GROUP 0
#endif

int64_t has_tables(void) { return HAS_TABLES; }

/* Spikes that index one table of 16-bit sums, and one of 32-bit sums; 0 without tables. */
int64_t narrow_group(void) { return HAS_TABLES ? NARROW_GROUP : 0; }
int64_t wide_group(void) { return HAS_TABLES ? WIDE_GROUP : 0; }
int64_t table_layer_size(void) { return sizeof(table_layer); }
int64_t index_job_size(void) { return sizeof(index_job); }
