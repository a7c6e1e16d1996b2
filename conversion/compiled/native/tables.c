/* Layers of spiking networks, by looking sums up instead of multiplying.
 *
 * A group of binary spikes is an index into a table of all partial sums of its weights: 6 spikes and 64
 * sums of 16 bits, or 5 spikes and 32 sums of 32 bits. The processor permutes a whole register by such
 * indices, so that one instruction does the work of 6 * 32 or 5 * 16 multiply-accumulates.
 *
 * The 32 lanes of a register are different images and time steps of one pixel (`lane` = step * images +
 * image), so all of them share the same tables, whatever kernel, stride or dilation. Sums are integers
 * and exact: results do not depend on the order of additions, on threads or on chunks of time.
 *
 * This file: types, indices of spikes, and the entry points. tables_kernel.h: sums and neurons.
 * tables_pool.h: max pooling.
 */
#include <stdlib.h>

#include "tables.h"

#if HAS_TABLES
#include "tables_kernel.h"
#include "tables_pool.h"

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
        const uint8_t *bits[6];
        int64_t fired[6] = {0};
        const int64_t first = g * group, some = own.channels - first < group ? own.channels - first : group;
        for (int64_t j = 0; j < some; j++)
            bits[j] = all + (first + j) / CHANNELS * block + (first + j) % CHANNELS * size;
        for (int64_t v = 0; v < vectors; v++) {
            const int64_t begin = v * (VECTOR / images), left = own.steps - begin;
            __m512i lanes = _mm512_setzero_si512();
            for (int64_t j = 0; j < some; j++) {
                const uint32_t mask = lanes_of(bits[j] + begin * step, left, images);
                fired[j] += __builtin_popcount(mask);
                if (is_signed)
                    fired[j] -= 2 * __builtin_popcount(mask & lanes_of(bits[j] + to_signs + begin * step, left, images));
                lanes = _mm512_mask_add_epi16(lanes, mask, lanes, _mm512_set1_epi16(1 << j));
            }
            const int64_t quartet = v / QUARTET * QUARTET, wide = quartet_size(vectors, quartet);
            const int64_t to = (quartet * own.width + x * wide) * groups + g * wide + v % QUARTET;
            if (own.index) _mm512_storeu_si512(index + to * VECTOR, lanes);
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
                switch (job->images + job->group) {
#define CASE(I, G) case I + G: index_pixel(job, plane, pixel, I, G); break;
                    CASE(4, 5) CASE(8, 5) CASE(16, 5) CASE(32, 5)
                    CASE(4, 6) CASE(8, 6) CASE(16, 6) CASE(32, 6)
#undef CASE
                }
            }
}

/* Sums of 4 channels of one pixel, 16 at once. */
INLINE void sum_place(const index_job *job, float *sums, int64_t place, const int images) {
    const int64_t row = CHANNELS * images;
    for (int64_t n = 0; n < row; n += 16) {
        __m512 sum = _mm512_setzero_ps();
        for (int64_t p = 0; p < job->planes; p++)
            for (int64_t t = 0; t < job->steps; t++) {
                const int64_t at = ((place * job->planes + p) * job->steps + t) * row + n;
                const __m512 weight = _mm512_set1_ps((float)job->weights[p]);
                sum = _mm512_mask_add_ps(sum, load_bits(job->bits, at, images), sum, weight);
            }
        _mm512_storeu_ps(sums + place * row + n, sum);
    }
}

/* Spikes of each neuron summed over time, [C / 4, H, W, 4, images]. */
void sum_spikes(const index_job *job, float *sums, int64_t threads) {
    const int64_t places = job->height * job->width * job->channels / CHANNELS;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t place = 0; place < places; place++)
        switch (job->images) {
            case 4: sum_place(job, sums, place, 4); break;
            case 8: sum_place(job, sums, place, 8); break;
            case 16: sum_place(job, sums, place, 16); break;
            case 32: sum_place(job, sums, place, 32); break;
        }
}

/* Rows of output pixels whose indices stay in the second-level cache while all channels pass over them. */
static int64_t rows_of_band(const table_layer *l, int64_t threads) {
    const int64_t row = l->planes * l->width * l->groups * l->vectors * VECTOR * sizeof(uint16_t);
    const int64_t reach = (l->kernel_h - 1) * l->dilation_h;
    const int64_t rows = l->index ? (BAND_BYTES / row - reach) / l->stride_h : l->out_height;
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

/* Pool spikes for a chunk of time: blocks of channels, and registers of each, share nothing. */
void pool_spikes(const pool_job *job, int64_t threads) {
    const int64_t units = CHANNELS * job->images / UNIT;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t item = 0; item < job->blocks * units; item++) {
        const int64_t block = item / units, unit = item % units;
        switch (job->images) {
            case 4: pool_unit(job, block, unit, 4); break;
            case 8: pool_unit(job, block, unit, 8); break;
            case 16: pool_unit(job, block, unit, 16); break;
            case 32: pool_unit(job, block, unit, 32); break;
        }
    }
}
#else
void index_spikes(const index_job *job, int64_t threads) {}
void sum_spikes(const index_job *job, float *sums, int64_t threads) {}
void run_tables(const table_layer *l, int64_t threads) {}
void pool_spikes(const pool_job *job, int64_t threads) {}
#endif

int64_t has_tables(void) { return HAS_TABLES; }
int64_t table_layer_size(void) { return sizeof(table_layer); }
int64_t pool_job_size(void) { return sizeof(pool_job); }
int64_t index_job_size(void) { return sizeof(index_job); }
