/* Max pooling of spike trains by what arrived so far; see tables.c.
 *
 * Lossless: what was sent so far is the maximum of what arrived so far. Gate: the spikes of the input that
 * sent most so far, the first of them. A sum is kept together with the spikes of its last step, from -8
 * to 7, in its lowest four bits, so that the winner's spikes are at hand.
 */

/* Running sums and spikes of one input row over a chunk, [W, T, LANES]. */
INLINE void sum_row(const pool_job *j, int32_t *sums, int64_t block, int64_t unit, int64_t y, const int images) {
    const int64_t row = CHANNELS * images;
    for (int64_t x = 0; x < j->width; x++) {
        const int64_t place = (block * j->height + y) * j->width + x;
        const int64_t from = place * j->planes * j->steps * row + unit * LANES;
        int32_t *state = j->totals + place * row + unit * LANES;
        ivec total = load_whole(state);
        for (int64_t t = 0; t < j->steps; t++) {
            ivec now = all_whole(0);
            for (int64_t p = 0; p < j->planes; p++) {
                const mask spikes = load_bits(j->bits, from + (p * j->steps + t) * row, images);
                const int32_t weight = j->is_signed && p == j->planes - 1 ? -(1 << p) : 1 << p;
                now += choose_whole(spikes, all_whole(weight), all_whole(0));
            }
            total += now;
            store_whole(sums + (x * j->steps + t) * LANES, (total << 4) | (now & 15));
        }
        store_whole(state, total);
    }
}

/* What one output pixel sends. `rows` hold the running sums of the rows of its window. */
INLINE void pool_pixel(
    const pool_job *j, const int32_t *const *rows, int64_t count, int64_t block, int64_t unit, int64_t y, int64_t x,
    const int images) {
    const int64_t row = CHANNELS * images, place = (block * j->out_height + y) * j->out_width + x;
    const int64_t to = place * j->planes * j->steps * row + unit * LANES;
    int64_t left = x * j->stride_w - j->pad_w, right = left + (j->kernel_w - 1) * j->dilation_w;
    while (left < 0) left += j->dilation_w;
    while (right >= j->width) right -= j->dilation_w;
    int32_t *state = j->sent + place * row + unit * LANES;
    ivec sent = load_whole(state);
    for (int64_t t = 0; t < j->steps; t++) {
        ivec most = load_whole(rows[0] + (left * j->steps + t) * LANES);
        for (int64_t r = 0; r < count; r++)
            for (int64_t column = left; column <= right; column += j->dilation_w) {
                const ivec sum = load_whole(rows[r] + (column * j->steps + t) * LANES);
                most = choose_whole(more_than(sum, most | 15), sum, most);
            }
        const ivec total = most >> 4, winner = (most << 28) >> 28;
        const ivec now = j->gate ? winner : total - sent;
        for (int64_t p = 0; p < j->planes; p++)
            store_bits(j->pooled, to + (p * j->steps + t) * row, has_bit(now, 1 << p), images);
        sent = total;
    }
    store_whole(state, sent);
}

/* One register's width of channels and images: rows of running sums are made once and kept while needed. */
INLINE void pool_unit(const pool_job *given, int64_t block, int64_t unit, const int images) {
    const pool_job own = *given, *j = &own;
    const int64_t reach = (j->kernel_h - 1) * j->dilation_h + 1, size = j->width * j->steps * LANES;
    int32_t *kept = room(reach * size * sizeof(int32_t));
    const int32_t *rows[MAX_KERNEL];
    int64_t done = 0; /* input rows summed so far */
    for (int64_t y = 0; y < j->out_height; y++) {
        const int64_t top = y * j->stride_h - j->pad_h;
        for (; done < j->height && done < top + reach; done++)
            sum_row(j, kept + done % reach * size, block, unit, done, images);
        int64_t count = 0;
        for (int64_t ky = 0; ky < j->kernel_h; ky++) {
            const int64_t row = top + ky * j->dilation_h;
            if (row >= 0 && row < j->height) rows[count++] = kept + row % reach * size;
        }
        for (int64_t x = 0; x < j->out_width; x++) pool_pixel(j, rows, count, block, unit, y, x, images);
    }
    for (; done < j->height; done++) sum_row(j, kept, block, unit, done, images); /* rows no window reaches */
    free(kept);
}
