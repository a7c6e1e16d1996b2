/* What fitting asks of neurons: how a sample of each channel answers from many starts, and which bias each step needs.
 *
 * Neurons of one channel lie side by side, so that a register holds several of them, whatever the number of channels:
 * [C, T or 1, room], where room is the number of neurons in whole registers. Those behind the sample stay silent.
 * Channels share nothing.
 */
#include <stdlib.h>

#include "neurons.h"

#define TRIALS 4     /* starts that are tried side by side, as each waits for its own last step */
#define EXACT 256    /* registers whose sums floats add up without losing digits that count */

typedef struct {
    const float *current;                       /* [C, T or 1, room] */
    int64_t channels, steps, constant, samples; /* constant: the current does not change over time */
    neurons neurons;                            /* without states */
    float begin[MAX_STATES];                    /* of a state before the first step, besides the membrane */
} sampled;

typedef struct {
    sampled of;
    const float *wanted; /* [C, room], in units of the activation, 0 behind the sample */
    int64_t starts;
    const float *scale, *membrane, *offset, *value; /* [starts, C]: one over the threshold, membrane and offset in
                                                       thresholds, and what one spike adds to the mean */
    double *sent, *errors; /* [starts, C]: sums over neurons of what they send, and of squared errors of their means */
} trials;

typedef struct {
    sampled of;
    int64_t rounds;
    float rate;
    const float *scale, *membrane, *offset; /* [C], as above */
    const float *wanted; /* [C], in thresholds */
    float *bias; /* [C, T], in thresholds */
} biases;

INLINE int64_t room_of(const sampled *s) { return (s->samples + LANES - 1) / LANES * LANES; }

/* States of neurons [from, from + LANES) before the first step. */
INLINE void begin(const sampled *s, vec state[MAX_STATES], float membrane, int64_t from, const int kind) {
    float own[LANES];
    for (int i = 0; i < LANES; i++) own[i] = from + i < s->samples ? membrane : -INFINITY;
    state[MEMBRANE] = load(own);
    for (int n = 1; n < states_of(kind); n++) state[n] = all(s->begin[n]);
}

INLINE double total(vec v) {
    float each[LANES];
    double sum = 0;
    store(each, v);
    for (int i = 0; i < LANES; i++) sum += each[i];
    return sum;
}

/* Some starts of one channel. */
INLINE void try_starts(const trials *given, int64_t c, int64_t first, const int together, const int kind) {
    const trials own = *given, *j = &own; /* nothing written below can change it, and the compiler knows */
    const sampled *s = &j->of;
    const int64_t room = room_of(s), next = s->constant ? 0 : room;
    const float *current = s->current + c * (s->constant ? 1 : s->steps) * room;
    const float *wanted = j->wanted + c * room;
    double all_sent[TRIALS] = {0}, all_errors[TRIALS] = {0};
    for (int64_t block = 0; block < room; block += EXACT * LANES) {
        const int64_t end = block + EXACT * LANES < room ? block + EXACT * LANES : room;
        vec sent[TRIALS], errors[TRIALS];
        for (int k = 0; k < together; k++) sent[k] = errors[k] = all(0);
        for (int64_t from = block; from < end; from += LANES) {
            vec state[TRIALS][MAX_STATES], mine[TRIALS];
            for (int k = 0; k < together; k++) {
                begin(s, state[k], j->membrane[(first + k) * s->channels + c], from, kind);
                mine[k] = all(0);
            }
            for (int64_t t = 0; t < s->steps; t++) {
                const vec x = load(current + t * next + from);
                for (int k = 0; k < together; k++) {
                    const int64_t at = (first + k) * s->channels + c;
                    const vec driven = multiply_add(x, all(j->scale[at]), all(j->offset[at]));
                    mine[k] += fire(&s->neurons, state[k], driven, t, kind);
                }
            }
            const vec aim = load(wanted + from);
            for (int k = 0; k < together; k++) {
                const vec off = multiply_add(mine[k], all(j->value[(first + k) * s->channels + c]), -aim);
                sent[k] += mine[k];
                errors[k] += off * off;
            }
        }
        for (int k = 0; k < together; k++) {
            all_sent[k] += total(sent[k]);
            all_errors[k] += total(errors[k]);
        }
    }
    for (int k = 0; k < together; k++) {
        j->sent[(first + k) * s->channels + c] = all_sent[k];
        j->errors[(first + k) * s->channels + c] = all_errors[k];
    }
}

/* The bias of each step of one channel; `states` has room for those of all neurons. */
INLINE void find_biases(const biases *given, int64_t c, float *states, const int kind) {
    const biases own = *given, *j = &own;
    const sampled *s = &j->of;
    const int64_t room = room_of(s), next = s->constant ? 0 : room;
    const float *current = s->current + c * (s->constant ? 1 : s->steps) * room;
    const vec scale = all(j->scale[c]), offset = all(j->offset[c]);
    float *bias = j->bias + c * s->steps;
    for (int64_t t = 0; t < s->steps; t++) bias[t] = 0;
    for (int64_t round = 0; round < j->rounds; round++) {
        for (int64_t from = 0; from < room; from += LANES) {
            vec state[MAX_STATES];
            begin(s, state, j->membrane[c], from, kind);
            for (int n = 0; n < states_of(kind); n++) store(states + n * room + from, state[n]);
        }
        for (int64_t t = 0; t < s->steps; t++)
            for (int settled = 0; settled < 2; settled++) { /* with the bias as it was, then as it is now */
                double sent = 0;
                for (int64_t block = 0; block < room; block += EXACT * LANES) {
                    const int64_t end = block + EXACT * LANES < room ? block + EXACT * LANES : room;
                    vec sum = all(0);
                    for (int64_t from = block; from < end; from += LANES) {
                        vec state[MAX_STATES];
                        for (int n = 0; n < states_of(kind); n++) state[n] = load(states + n * room + from);
                        const vec x = multiply_add(load(current + t * next + from), scale, offset);
                        sum += fire(&s->neurons, state, x + all(bias[t]), t, kind);
                        for (int n = 0; n < states_of(kind) && settled; n++) store(states + n * room + from, state[n]);
                    }
                    sent += total(sum);
                }
                if (!settled) bias[t] += j->rate * (j->wanted[c] - (float)(sent / (double)s->samples));
            }
    }
}

#define KINDS(CASE) \
    CASE(BINARY) \
    CASE(BURST) \
    CASE(SIGNED) \
    CASE(CALIBRATED) \
    CASE(LEAKY) \
    CASE(ROUNDING)

void try_all(const trials *j, int64_t threads) {
    const int64_t groups = (j->starts + TRIALS - 1) / TRIALS;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t item = 0; item < groups * j->of.channels; item++) {
        const int64_t c = item / groups, first = item % groups * TRIALS;
        switch (j->of.neurons.kind) {
#define CASE(KIND) \
    case KIND: \
        if (j->starts - first >= TRIALS) try_starts(j, c, first, TRIALS, KIND); \
        else \
            for (int64_t k = first; k < j->starts; k++) try_starts(j, c, k, 1, KIND); \
        break;
            KINDS(CASE)
#undef CASE
        }
    }
}

void find_all_biases(const biases *j, int64_t threads) {
    const int64_t room = room_of(&j->of);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t c = 0; c < j->of.channels; c++) {
        float *states = malloc(MAX_STATES * room * sizeof(float));
        switch (j->of.neurons.kind) {
#define CASE(KIND) \
    case KIND: find_biases(j, c, states, KIND); break;
            KINDS(CASE)
#undef CASE
        }
        free(states);
    }
}

int64_t trials_size(void) { return sizeof(trials); }
int64_t biases_size(void) { return sizeof(biases); }
