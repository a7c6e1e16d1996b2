/* Depthwise layers: every channel meets its own filter alone.
 *
 * There is no sum over channels, so sixteen channels fill a register: spikes are widened, multiplied by whole weights
 * and added up, all in 32 bits. Sums are those of the other kernels, exact, and so is everything that follows.
 */

/* Sums of one filter row for a tile of neighbouring pixels; columns outside the image count nothing. */
INLINE void add_filter_row(
    ivec sums[TILE], const layer *l, const int8_t *line, const int32_t *weights, int64_t left, const int inside) {
    for (int64_t kx = 0; kx < l->kernel_w; kx++) {
        const ivec weight = load_whole(weights + kx * l->outputs);
        const int64_t first = left + kx * l->dilation_w;
        for (int i = 0; i < TILE; i++) {
            const int64_t column = first + i * l->stride_w;
            if (inside || (column >= 0 && column < l->width))
                sums[i] += load_either(line + column * l->channels, l->is_unsigned) * weight;
        }
    }
}

#define BESIDE (64 / LANES) /* registers of channels that share a cache line of spikes */

/* Currents of a tile of neighbouring pixels and the channels of one register. */
INLINE void filter_tile(
    vec currents[TILE][2], const layer *l, const float *biases, const int8_t *image, int64_t channel, int64_t y,
    int64_t x) {
    const int64_t left = x * l->stride_w - l->pad_w;
    const int64_t right = left + (TILE - 1) * l->stride_w + (l->kernel_w - 1) * l->dilation_w;
    const int32_t *weights = (const int32_t *)l->weights + channel;
    ivec sums[TILE];
    for (int i = 0; i < TILE; i++) sums[i] = all_whole(0);
    for (int64_t ky = 0; ky < l->kernel_h; ky++) {
        const int64_t row = y * l->stride_h - l->pad_h + ky * l->dilation_h;
        if (row < 0 || row >= l->height) continue;
        const int8_t *line = image + row * l->width * l->channels + channel;
        const int32_t *taps = weights + ky * l->kernel_w * l->outputs;
        if (left >= 0 && right < l->width) add_filter_row(sums, l, line, taps, left, 1);
        else add_filter_row(sums, l, line, taps, left, 0);
    }
    const vec scale = load(l->scale + channel), bias = load(biases + channel);
    for (int i = 0; i < TILE; i++) currents[i][0] = multiply_add(floats(sums[i]), scale, bias);
}

/* One row of output pixels of channels [from, to); time runs outside the pixels, as in `run_row`. */
static void run_depthwise_row(const layer *given, int64_t from, int64_t to, int64_t y) {
    const layer own = *given, *l = &own; /* nothing written below can change it, and the compiler knows */
    const int64_t map = l->out_height * l->out_width * l->outputs;
    for (int64_t b = 0; b < l->images; b++)
        for (int64_t t = 0; t < l->steps; t++) {
            const int8_t *image = l->spikes + (t * l->images + b) * l->height * l->width * l->channels;
            for (int64_t x = 0; x < l->out_width; x += TILE)
                for (int64_t channel = from; channel < to; channel += LANES) {
                    vec currents[TILE][2];
                    filter_tile(currents, l, l->bias + t * l->bias_step, image, channel, y, x);
                    const int64_t place = (y * l->out_width + x) * l->outputs + channel, at = b * map + place;
                    if (l->out_width - x >= TILE) finish(currents, l, channel, place, at, t, TILE, 1);
                    else finish(currents, l, channel, place, at, t, l->out_width - x, 1);
                }
        }
}

static void run_depthwise(const layer *l, int64_t threads) {
    const int64_t wide = BESIDE * LANES, blocks = (l->outputs + wide - 1) / wide, items = blocks * l->out_height;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t item = 0; item < items; item++) {
        const int64_t from = item % blocks * wide, to = from + wide < l->outputs ? from + wide : l->outputs;
        run_depthwise_row(l, from, to, item / blocks);
    }
}
