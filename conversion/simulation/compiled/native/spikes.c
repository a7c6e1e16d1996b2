/* Layers of spiking networks: integer synapses, fused with soft-reset neurons.
 *
 * Spikes are small integers, so the synaptic sum is integer arithmetic: weights are fixed-point numbers,
 * written in signed base-256 digits, one byte a digit, and multiplied with spikes by the
 * processor's byte dot product. One digit is 8-bit weights, three digits are as fine as float32. Integer
 * sums are exact: results do not depend on the order of additions, on threads or on chunks of time.
 *
 * Spikes are bytes, channels last: [T * B, H, W, C]. Currents never leave the registers.
 */
#include <stdlib.h>

#include "bytes.h"
#include "neurons.h"

#define MAX_ADDENDS 8

typedef struct {
    const void *values; /* float or int8, [T or 1, B, H', W', C'] */
    const float *scale; /* [C'], multiplies the values */
    int64_t step;       /* elements from one time step to the next; 0: constant over time */
    int64_t is_spikes;  /* values are bytes: 1 with a sign, 2 without */
} addend;

typedef struct {
    const int8_t *spikes; /* input; channels = 0: no synapses, only addends */
    int64_t steps, images, height, width, channels, is_signed, largest; /* is_signed: some spikes are
        negative; largest: most of one neuron in one step, of either sign */
    int64_t is_unsigned; /* spikes are bytes without a sign */
    int64_t groups; /* outputs and channels are cut into as many groups, which do not meet */
    /* [blocks, kernel_h * kernel_w * channels of a group / 4, digits, vectors, LANES, 4], scale and bias [outputs] */
    const int8_t *weights;
    const float *scale, *bias;
    int64_t bias_step; /* elements from the bias of one time step to that of the next; 0: the same in all */
    const int32_t *shift; /* [kernel_h, outputs], see `multiply` */
    int64_t digits, vectors;
    int64_t in_floats; /* digits are joined in floats, as whole sums may not fit 32 bits */
    int64_t depthwise; /* weights are int32 [kernel_h, kernel_w, outputs], one filter a channel */
    int64_t tiled; /* weights are those of tiles.h: [units, entries, vectors, digits, 16, 16, 4] */
    int64_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    int64_t out_height, out_width, outputs;
    int64_t addends;
    addend add[MAX_ADDENDS];
    neurons neurons; /* states [B, H', W', C']; without any, currents are written instead of spikes */
    int8_t *fired; /* [T * B, H', W', C'], or none: */
    float *sent; /* the same in floats, times the value of a spike */
    const float *value; /* [C'], for `sent` */
    float *counts; /* [H', W', C'], events of spikes summed over time and images, added to */
    float *currents; /* [T * B, H', W', C'] */
} layer;

/* The sum that some digits mean, lowest first. In whole numbers, `shift` is added and all is modulo 2^32. */
INLINE vec joined(const ivec each[3], ivec shift, const int digits, int64_t in_floats) {
    if (in_floats) {
        vec sum = floats(each[digits - 1]);
        for (int p = digits - 2; p >= 0; p--) sum = multiply_add(sum, all(256), floats(each[p]));
        return sum;
    }
    ivec sum = each[digits - 1];
    for (int p = digits - 2; p >= 0; p--) sum = (sum << 8) + each[p];
    return floats(sum + shift);
}

#if HAS_SYNAPSES
/* Synaptic currents and biases of a tile of neighbouring pixels (fewer at the end of a row: the rest is thrown away). */
INLINE void synapses(
    vec currents[TILE][2], const layer *l, const float *biases, const int8_t *image, int64_t block, int64_t y,
    int64_t x, const int digits, const int vectors, const int is_signed) {
    static const int8_t silence[8192] = {0};
    const int64_t inputs = l->channels / l->groups, row_bytes = inputs * digits * vectors * LANES;
    const int8_t *weights = l->weights + block * l->kernel_h * l->kernel_w * row_bytes;
    const int64_t channel = block * LANES * vectors;
    image += channel / (l->outputs / l->groups) * inputs;
    ivec sums[TILE][3][2], shift[2] = {all_whole(0), all_whole(0)};
    for (int i = 0; i < TILE; i++)
        for (int p = 0; p < digits; p++)
            for (int k = 0; k < vectors; k++) sums[i][p][k] = all_whole(0);
    const int64_t left = x * l->stride_w - l->pad_w, apart = l->stride_w * l->channels;
    const int64_t right = left + (TILE - 1) * l->stride_w + (l->kernel_w - 1) * l->dilation_w;
    const int contiguous = left >= 0 && right < l->width && l->dilation_w == 1 && l->groups == 1;
    for (int64_t ky = 0; ky < l->kernel_h; ky++) {
        const int64_t row = y * l->stride_h - l->pad_h + ky * l->dilation_h;
        if (row < 0 || row >= l->height) continue;
        const int8_t *line = image + row * l->width * l->channels;
        const int8_t *taps = weights + ky * l->kernel_w * row_bytes;
        const int8_t *pixels[TILE];
        for (int k = 0; k < vectors && is_signed && NEEDS_SHIFT; k++)
            shift[k] += load_whole(l->shift + ky * l->outputs + channel + k * LANES);
        if (contiguous) { /* away from borders, a row of the kernel is one run */
            for (int i = 0; i < TILE; i++) pixels[i] = line + left * l->channels + i * apart;
            multiply(sums, pixels, taps, l->kernel_w * l->channels, digits, vectors, is_signed, l->largest);
            continue;
        }
        for (int64_t kx = 0; kx < l->kernel_w; kx++) {
            for (int i = 0; i < TILE; i++) {
                const int64_t column = left + i * l->stride_w + kx * l->dilation_w;
                pixels[i] = column >= 0 && column < l->width ? line + column * l->channels : silence;
            }
            multiply(sums, pixels, taps + kx * row_bytes, inputs, digits, vectors, is_signed, l->largest);
        }
    }
    for (int i = 0; i < TILE; i++)
        for (int k = 0; k < vectors; k++) {
            const vec scale = load(l->scale + channel + k * LANES), bias = load(biases + channel + k * LANES);
            ivec each[3];
            for (int p = 0; p < digits; p++) each[p] = sums[i][p][k];
            currents[i][k] = multiply_add(joined(each, shift[k], digits, l->in_floats), scale, bias);
        }
}
#else
INLINE void synapses(
    vec currents[TILE][2], const layer *l, const float *biases, const int8_t *image, int64_t block, int64_t y,
    int64_t x, const int digits, const int vectors, const int is_signed) {}
#endif

/* Write what a register of neurons sends, in bytes or floats. */
INLINE void send(const layer *l, int64_t to, int64_t channel, vec spikes) {
    if (l->sent) store(l->sent + to, spikes * load(l->value + channel));
    else store_spikes(l->fired + to, spikes);
}

/* Fire the neurons of some neighbouring pixels once. */
INLINE void fire_tile(
    vec currents[TILE][2], const layer *l, int64_t channel, int64_t place, int64_t at, int64_t to, int64_t t,
    const int64_t pixels, const int vectors, const int kind) {
    for (int64_t i = 0; i < pixels; i++)
        for (int k = 0; k < vectors; k++) {
            const int64_t c = i * l->outputs + k * LANES;
            vec state[MAX_STATES];
            const int states = states_of(kind == SOME_KIND ? l->neurons.kind : kind);
            for (int s = 0; s < states; s++) state[s] = load(l->neurons.state[s] + at + c);
            vec current = currents[i][k];
            if (l->neurons.answer) {
                vec answer = load(l->neurons.answer + at + c);
                current = received(&l->neurons, state, &answer, current, t);
                store(l->neurons.answer + at + c, answer);
            }
            const vec spikes = kind == SOME_KIND ? fire_some(&l->neurons, state, current, t)
                                                 : fire(&l->neurons, state, current, t, kind);
            for (int s = 0; s < states; s++) store(l->neurons.state[s] + at + c, state[s]);
            store(l->counts + place + c, load(l->counts + place + c) + events(&l->neurons, spikes));
            send(l, to + c, channel + k * LANES, spikes);
        }
}

/* What remembers more than its membrane is compiled once, for any number of pixels. */
#define ONCE(KIND) \
    static __attribute__((noinline)) void fire_##KIND( \
        vec currents[TILE][2], const layer *l, int64_t channel, int64_t place, int64_t at, int64_t to, int64_t t, \
        int64_t pixels, int vectors) { \
        fire_tile(currents, l, channel, place, at, to, t, pixels, vectors, KIND); \
    }
ONCE(SIGNED)
ONCE(CALIBRATED)
ONCE(DIFFERENTIAL)
ONCE(TRACKING)
ONCE(SOME_KIND)

/* Write what has been said so far at some neighbouring pixels. */
INLINE void write_said(
    vec currents[TILE][2], const layer *l, int64_t at, int64_t to, int64_t t, int64_t pixels, int vectors,
    const int kind) {
    for (int64_t i = 0; i < pixels; i++)
        for (int k = 0; k < vectors; k++) {
            const int64_t c = i * l->outputs + k * LANES;
            vec state[MAX_STATES];
            for (int s = 0; s < states_of(kind); s++) state[s] = load(l->neurons.state[s] + at + c);
            store(l->currents + to + c, said(&l->neurons, state, currents[i][k], t, kind));
            store(l->neurons.state[0] + at + c, state[0]);
        }
}

/* Add what else flows into some neighbouring pixels, then fire their neurons or write their currents. */
INLINE void finish(
    vec currents[TILE][2], const layer *l, int64_t channel, int64_t place, int64_t at, int64_t t, const int64_t pixels,
    const int vectors) {
    for (int64_t a = 0; a < l->addends; a++) {
        const addend add = l->add[a];
        const int64_t from = t * add.step + at;
        for (int k = 0; k < vectors; k++) {
            const vec scale = load(add.scale + channel + k * LANES);
            if (add.is_spikes) {
                const int8_t *values = (const int8_t *)add.values + from + k * LANES;
                for (int64_t i = 0; i < pixels; i++)
                    currents[i][k] =
                        multiply_add(scale, load_spikes(values + i * l->outputs, add.is_spikes == 2), currents[i][k]);
            } else {
                const float *values = (const float *)add.values + from + k * LANES;
                for (int64_t i = 0; i < pixels; i++)
                    currents[i][k] = multiply_add(scale, load(values + i * l->outputs), currents[i][k]);
            }
        }
    }
    const int64_t to = t * l->images * l->out_height * l->out_width * l->outputs + at;
    switch (l->neurons.kind) {
        case NONE:
            for (int64_t i = 0; i < pixels; i++)
                for (int k = 0; k < vectors; k++) store(l->currents + to + i * l->outputs + k * LANES, currents[i][k]);
            break;
        case BINARY: fire_tile(currents, l, channel, place, at, to, t, pixels, vectors, BINARY); break;
        case BURST: fire_tile(currents, l, channel, place, at, to, t, pixels, vectors, BURST); break;
        case SIGNED: fire_SIGNED(currents, l, channel, place, at, to, t, pixels, vectors); break;
        case CALIBRATED: fire_CALIBRATED(currents, l, channel, place, at, to, t, pixels, vectors); break;
        case DIFFERENTIAL: fire_DIFFERENTIAL(currents, l, channel, place, at, to, t, pixels, vectors); break;
        case TRACKING: fire_TRACKING(currents, l, channel, place, at, to, t, pixels, vectors); break;
        case MEANS: write_said(currents, l, at, to, t, pixels, vectors, MEANS); break;
        case ESTIMATES: write_said(currents, l, at, to, t, pixels, vectors, ESTIMATES); break;
        default: fire_SOME_KIND(currents, l, channel, place, at, to, t, pixels, vectors);
    }
}

/* One row of output pixels of one block of channels. Time runs outside the pixels: a row's membranes
 * stay in the nearest cache, and spikes are read and written as contiguous lines. */
INLINE void run_row(
    const layer *given, int64_t block, int64_t y, const int digits, const int vectors, const int is_signed) {
    const layer own = *given, *l = &own; /* nothing written below can change it, and the compiler knows */
    const int64_t channel = block * LANES * vectors;
    const int64_t map = l->out_height * l->out_width * l->outputs;
    const int64_t line = y * l->out_width * l->outputs + channel;
    for (int64_t b = 0; b < l->images; b++)
        for (int64_t t = 0; t < l->steps; t++) {
            const int64_t image = (t * l->images + b) * l->height * l->width * l->channels;
            const float *biases = l->bias + t * l->bias_step;
            for (int64_t x = 0; x < l->out_width; x += TILE) {
                vec currents[TILE][2];
                for (int i = 0; i < TILE; i++)
                    for (int k = 0; k < vectors; k++) currents[i][k] = load(biases + channel + k * LANES);
                if (digits) synapses(currents, l, biases, l->spikes + image, block, y, x, digits, vectors, is_signed);
                const int64_t place = line + x * l->outputs, at = b * map + place;
                if (l->out_width - x >= TILE) finish(currents, l, channel, place, at, t, TILE, vectors);
                else finish(currents, l, channel, place, at, t, l->out_width - x, vectors);
            }
        }
}

#include "depthwise.h"
#include "tiles.h"

/* Size of `layer`, so that the caller can check that both sides agree on its layout. */
int64_t layer_size(void) { return sizeof(layer); }

/* 1 where the processor multiplies bytes fast; elsewhere only layers without synapses can run. */
int64_t has_synapses(void) { return HAS_SYNAPSES; }

/* Output channels of one vector of weights. */
int64_t byte_lanes(void) { return LANES; }

#define CASE(P, V, S) \
    case (P * 2 + V - 1) * 2 + S: run_row(l, block, y, P, V, S); break;

/* Run a layer for a chunk of time. Rows and channel blocks are independent, so threads share nothing. */
void run_layer(const layer *l, int64_t threads) {
    if (l->depthwise) {
        run_depthwise(l, threads);
        return;
    }
    if (l->tiled) {
        run_tiles(l, threads);
        return;
    }
    const int64_t blocks = l->outputs / (LANES * l->vectors);
    const int64_t items = blocks * l->out_height;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t item = 0; item < items; item++) {
        const int64_t block = item / l->out_height, y = item % l->out_height;
        switch ((l->digits * 2 + l->vectors - 1) * 2 + l->is_signed) {
            CASE(0, 1, 0)
            CASE(0, 2, 0)
            CASE(1, 1, 0)
            CASE(1, 2, 0)
            CASE(1, 1, 1)
            CASE(1, 2, 1)
            CASE(2, 1, 0)
            CASE(2, 2, 0)
            CASE(2, 1, 1)
            CASE(2, 2, 1)
            CASE(3, 1, 0)
            CASE(3, 2, 0)
            CASE(3, 1, 1)
            CASE(3, 2, 1)
        }
    }
}
