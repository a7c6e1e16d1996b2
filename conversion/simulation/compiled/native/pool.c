/* Max pooling of spike trains by what arrived so far.
 *
 * Lossless: what was sent so far is the maximum of what arrived so far. Gate: the spikes of the input that
 * sent most so far, the first of them. A sum is kept together with the spikes of its last step, a byte, in
 * its lowest byte, so that the winner's spikes are at hand.
 *
 * Spikes are bits, as in tables.h, or bytes, channels last: [T * B, H, W, C].
 */
#include <stdlib.h>

#include "tables.h"
#if HAS_TABLES
#include "tables_bits.h"
#endif

#define MAX_KERNEL 16
#define IN_BYTES 0 /* in place of how many images an element of bits holds */

typedef struct {
    const void *spikes;
    void *pooled;
    int32_t *totals;  /* [C / 4, H, W, 4, images] or [images, H, W, C], in and out: spikes that arrived so far */
    int32_t *sent;    /* as totals, of the output */
    float *counts;    /* bytes: [H', W', C], sizes of spikes are added to it; bits: NULL */
    int64_t packed;   /* spikes are bits */
    int64_t planes, steps, images, height, width, channels, is_signed;
    int64_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    int64_t out_height, out_width, gate; /* gate = 0: lossless */
    int64_t is_unsigned; /* spikes are bytes without a sign */
} pool_job;

typedef struct {
    const pool_job *job;
    int64_t block, unit; /* bits: block of channels; bytes: image. Which register of it */
    int64_t row;         /* numbers of a place: neurons of a block, or channels */
    int32_t *kept;       /* running sums of the last rows, [reach, W, T, LANES] */
    float *counts;       /* bytes: [H', W', LANES] */
} pool_part;

/* Spikes of one step at a place of the input, [block, H, W]. */
INLINE ivec arrived(const pool_part *p, int64_t place, int64_t t, const int images) {
    const pool_job *j = p->job;
    if (images == IN_BYTES) {
        const int64_t map = j->height * j->width * p->row;
        const int8_t *from = (const int8_t *)j->spikes + t * j->images * map + place * p->row + p->unit * LANES;
        return load_either(from, j->is_unsigned);
    }
    ivec now = all_whole(0);
#if HAS_TABLES
    for (int64_t plane = 0; plane < j->planes; plane++) {
        const int64_t at = ((place * j->planes + plane) * j->steps + t) * p->row + p->unit * LANES;
        const int32_t weight = j->is_signed && plane == j->planes - 1 ? -(1 << plane) : 1 << plane;
        now += choose_whole(load_bits(j->spikes, at, images), all_whole(weight), all_whole(0));
    }
#endif
    return now;
}

INLINE void send(const pool_part *p, int64_t place, int64_t t, ivec now, const int images) {
    const pool_job *j = p->job;
    if (images == IN_BYTES) {
        const int64_t map = j->out_height * j->out_width * p->row;
        store_spikes((int8_t *)j->pooled + t * j->images * map + place * p->row + p->unit * LANES, floats(now));
        return;
    }
#if HAS_TABLES
    for (int64_t plane = 0; plane < j->planes; plane++) {
        const int64_t at = ((place * j->planes + plane) * j->steps + t) * p->row + p->unit * LANES;
        store_bits(j->pooled, at, has_bit(now, 1 << plane), images);
    }
#endif
}

/* Running sums and spikes of one input row over a chunk. */
INLINE void sum_row(const pool_part *p, int32_t *sums, int64_t y, const int images) {
    const pool_job *j = p->job;
    for (int64_t x = 0; x < j->width; x++) {
        const int64_t place = (p->block * j->height + y) * j->width + x;
        int32_t *state = j->totals + place * p->row + p->unit * LANES;
        ivec total = load_whole(state);
        for (int64_t t = 0; t < j->steps; t++) {
            const ivec now = arrived(p, place, t, images);
            total += now;
            store_whole(sums + (x * j->steps + t) * LANES, (total << 8) | (now & 255));
        }
        store_whole(state, total);
    }
}

/* What one output pixel sends. `rows` hold the running sums of the rows of its window. */
INLINE void pool_pixel(
    const pool_part *p, const int32_t *const *rows, int64_t count, int64_t y, int64_t x, const int images) {
    const pool_job *j = p->job;
    const int64_t place = (p->block * j->out_height + y) * j->out_width + x;
    int64_t left = x * j->stride_w - j->pad_w, right = left + (j->kernel_w - 1) * j->dilation_w;
    while (left < 0) left += j->dilation_w;
    while (right >= j->width) right -= j->dilation_w;
    int32_t *state = j->sent + place * p->row + p->unit * LANES;
    ivec sent = load_whole(state);
    vec counted = all(0);
    for (int64_t t = 0; t < j->steps; t++) {
        ivec most = load_whole(rows[0] + (left * j->steps + t) * LANES);
        for (int64_t r = 0; r < count; r++)
            for (int64_t column = left; column <= right; column += j->dilation_w) {
                const ivec sum = load_whole(rows[r] + (column * j->steps + t) * LANES);
                most = choose_whole(more_than(sum, most | 255), sum, most);
            }
        const ivec total = most >> 8, winner = j->is_unsigned ? most & 255 : (most << 24) >> 24;
        const ivec now = j->gate ? winner : total - sent;
        send(p, place, t, now, images);
        if (images == IN_BYTES) counted += magnitude(floats(now));
        sent = total;
    }
    store_whole(state, sent);
    if (images == IN_BYTES) store(p->counts + (y * j->out_width + x) * LANES, counted);
}

/* One register's width of channels and images: rows of running sums are made once and kept while needed. */
INLINE void pool_unit(const pool_part *given, const int images) {
    const pool_job own = *given->job, *j = &own; /* nothing written below can change them, and the compiler knows */
    pool_part part = *given;
    const pool_part *p = &part;
    part.job = j;
    const int64_t reach = (j->kernel_h - 1) * j->dilation_h + 1, size = j->width * j->steps * LANES;
    const int32_t *rows[MAX_KERNEL];
    int64_t done = 0; /* input rows summed so far */
    for (int64_t y = 0; y < j->out_height; y++) {
        const int64_t top = y * j->stride_h - j->pad_h;
        for (; done < j->height && done < top + reach; done++) sum_row(p, p->kept + done % reach * size, done, images);
        int64_t count = 0;
        for (int64_t ky = 0; ky < j->kernel_h; ky++) {
            const int64_t row = top + ky * j->dilation_h;
            if (row >= 0 && row < j->height) rows[count++] = p->kept + row % reach * size;
        }
        for (int64_t x = 0; x < j->out_width; x++) pool_pixel(p, rows, count, y, x, images);
    }
    for (; done < j->height; done++) sum_row(p, p->kept, done, images); /* rows no window reaches */
}

static void pool_part_of(const pool_part *p) {
    switch (p->job->packed ? p->job->images : IN_BYTES) {
        case IN_BYTES: pool_unit(p, IN_BYTES); break;
#if HAS_TABLES
        case 4: pool_unit(p, 4); break;
        case 8: pool_unit(p, 8); break;
        case 16: pool_unit(p, 16); break;
        case 32: pool_unit(p, 32); break;
#endif
    }
}

/* Pool spikes for a chunk of time: blocks of channels, images, and registers of each, share nothing but counts. */
void pool_spikes(const pool_job *job, int64_t threads) {
    const int64_t row = job->packed ? CHANNELS * job->images : job->channels, units = row / LANES;
    const int64_t blocks = job->packed ? job->channels / CHANNELS : job->images;
    const int64_t reach = (job->kernel_h - 1) * job->dilation_h + 1, map = job->out_height * job->out_width;
#pragma omp parallel num_threads(threads)
    {
        int32_t *kept = aligned_alloc(64, (reach * job->width * job->steps * LANES * 4 + 63) / 64 * 64);
        float *counts = aligned_alloc(64, (map * LANES * 4 + 63) / 64 * 64);
#pragma omp for schedule(dynamic)
        for (int64_t item = 0; item < blocks * units; item++) {
            const pool_part part = {job, item / units, item % units, row, kept, counts};
            pool_part_of(&part);
            if (!job->counts) continue;
#pragma omp critical
            for (int64_t n = 0; n < map; n++) {
                float *to = job->counts + n * row + part.unit * LANES;
                store(to, load(to) + load(counts + n * LANES));
            }
        }
        free(kept);
        free(counts);
    }
}

int64_t pool_job_size(void) { return sizeof(pool_job); }
