/* What neurons do with a current: the same for every kernel, sixteen neurons at once.
 *
 * All reset by subtraction and count in their thresholds; `conversion.neurons` has their equations. Only
 * operations that PyTorch rounds in the same way are used, so both fire the same spikes from the same
 * currents. A neuron remembers its membrane and, where it takes spikes back, what it has sent. One whose
 * membrane is minus infinity stays silent.
 */
#ifndef NEURONS_H
#define NEURONS_H
#include <math.h>

#include "vectors.h"

/* NONE: currents are what is asked for; MEANS: what has arrived, averaged over time. */
enum { NONE, BINARY, BURST, SIGNED, CALIBRATED, LEAKY, DIFFERENTIAL, ROUNDING, TRACKING, BOUNDED, MEANS };

#define MAX_STATES 4
enum { MEMBRANE, SENT, LAST, FIRINGS }; /* of a state */
enum {
    ARRIVED = 1,
    ANSWER,
    BOUND
}; /* of that of TRACKING and BOUNDED: sum of currents, t F(their mean), upper bound */
enum { INPUT = 1, OUTPUT, REST }; /* of that of DIFFERENTIAL: estimates of what has come and gone, current at rest */

typedef struct {
    int64_t kind;
    int64_t done; /* time steps before these */
    float most;   /* spikes sent in one step */
    float back;   /* spikes taken back in one step */
    float
        bound; /* SIGNED: membrane at or below which they are; CALIBRATED: silent steps allowed beyond the mean interval;
                     BURST: added to the membrane before it is rounded down; LEAKY: slope; DIFFERENTIAL: share of a
                     level that fires it; TRACKING: slope below zero */
    int32_t variant; /* CALIBRATED and TRACKING, see below */
    float *state[MAX_STATES]; /* in and out; each as the output in one time step */
} neurons;

enum { FIX, CONS, CODE };
enum { OF_SUM, GIVEN }; /* F(mean) follows from the sum of currents, or is what arrives in place of a current */

/* How many states a kind has. */
INLINE int states_of(int64_t kind) {
    switch (kind) {
        case CALIBRATED:
        case DIFFERENTIAL:
        case BOUNDED: return 4;
        case TRACKING: return 3;
        case SIGNED: return 2;
        default: return 1;
    }
}

/* 1 where neurons fire; else values are written. */
INLINE int fires(int64_t kind) { return kind != NONE && kind != MEANS; }

/* Spikes as energy counts them: a level is one, a burst as many as it is long. */
INLINE vec events(vec spikes, const int kind) {
    return kind == DIFFERENTIAL ? least(magnitude(spikes), all(1)) : magnitude(spikes);
}

/* The largest power of two that is not above v, at most `most`; 0 where v is below 1. */
INLINE vec level(vec v, float most) {
    const vec power = (vec)((ivec)v & 0x7F800000); /* a float without its fraction */
    return choose(at_least(v, all(1)), least(power, all(most)), all(0));
}

/* Which neurons of BINARY fire; `membrane` becomes that after the step. */
INLINE mask fire_binary(vec *membrane, vec current) {
    const vec one = all(1), v = *membrane + current;
    const mask fires = at_least(v, one);
    *membrane = add_where(fires, v, -one);
    return fires;
}

INLINE vec burst(vec v, float most) { return greatest(least(whole(v), all(most)), all(0)); }

/* Spikes of both signs that bring the membrane to within half of what rounding leaves; silence stays silence. */
INLINE vec rounded(vec v, float most, float back) {
    const vec spikes = greatest(least(whole(v), all(most)), all(-back));
    return choose(above(v, all(-INFINITY)), spikes, all(0));
}

/* t F(mean) after this step; its growth is what a tracking neuron receives. F comes after t, or before it where
 * it bounds, so that a product is never the only factor of a sum: contracted, it would be rounded otherwise. */
INLINE vec answer(const neurons *n, vec state[MAX_STATES], vec current, int64_t t, const int kind) {
    const vec now = all((float)(n->done + t + 1)), zero = all(0);
    if (kind == TRACKING && n->variant == GIVEN) return now * current;
    state[ARRIVED] += current;
    const vec mean = state[ARRIVED] / now;
    if (kind == BOUNDED) return greatest(now * least(mean, state[BOUND]), zero);
    return choose(above(mean, zero), now * mean, now * (mean * n->bound));
}

/* The mean of what has arrived up to step `t` of these; the only state is its sum. */
INLINE vec mean_of(const neurons *n, vec *arrived, vec current, int64_t t) {
    *arrived += current;
    return *arrived / all((float)(n->done + t + 1));
}

/* Spikes of step `t` of these; `state` is that before it, and becomes that after it. */
INLINE vec fire(const neurons *n, vec state[MAX_STATES], vec current, int64_t t, const int kind) {
    const vec zero = all(0), one = all(1), v = state[MEMBRANE] + current;
    vec spikes;
    if (kind == BINARY) {
        spikes = choose(at_least(v, one), one, zero);
        state[MEMBRANE] = v - spikes;
    } else if (kind == BURST) {
        spikes = burst(v + n->bound, n->most);
        state[MEMBRANE] = v - spikes;
    } else if (kind == ROUNDING) {
        spikes = rounded(v, n->most, n->back);
        state[MEMBRANE] = v - spikes;
    } else if (kind == TRACKING || kind == BOUNDED) {
        const vec total = answer(n, state, current, t, kind);
        const vec moved = state[MEMBRANE] + (total - state[ANSWER]);
        spikes = rounded(moved, n->most, n->back);
        state[MEMBRANE] = moved - spikes;
        state[ANSWER] = total;
    } else if (kind == LEAKY) {
        const mask below = at_least(-one, v * n->bound) & above(v, all(-INFINITY));
        spikes = choose(at_least(v, one), one, zero);
        state[MEMBRANE] = v - spikes + choose(below, one / n->bound, zero);
        spikes -= choose(below, one, zero);
    } else if (kind == SIGNED) { /* owed: the fewest that lift the membrane above the bound */
        const vec owed = n->bound == 0 ? -whole(v) : whole(n->bound - v) + one;
        spikes = burst(v, n->most) - least(greatest(least(owed, all(n->back)), zero), state[SENT]);
        state[MEMBRANE] = v - spikes;
        state[SENT] += spikes;
    } else if (kind == DIFFERENTIAL) { /* no more is taken back than has been said, but for rounding */
        const vec now = all((float)(n->done + t + 1)), change = current - state[REST];
        const vec moved = state[MEMBRANE] + change + state[INPUT] - state[OUTPUT];
        const vec reached = magnitude(moved) / all(n->bound), said = now * state[OUTPUT] + all(1e-4f);
        spikes = level(choose(above(zero, moved), least(reached, said), reached), n->most);
        spikes = choose(above(zero, moved), -spikes, spikes);
        state[MEMBRANE] = moved - spikes;
        state[INPUT] += change / now;
        state[OUTPUT] += spikes / now;
    } else { /* CALIBRATED; the mean interval between firings is the step of the last over their number */
        const vec now = all((float)(n->done + t));
        spikes = burst(v, n->most);
        const mask fired = above(spikes, zero);
        const vec firings = choose(fired, state[FIRINGS] + one, state[FIRINGS]);
        const vec last = choose(fired, now, state[LAST]), silent = now - last - n->bound;
        const mask late = above(silent * greatest(firings, one), last);
        vec back = choose(late, one, zero);
        state[MEMBRANE] = v - spikes;
        state[FIRINGS] = firings;
        state[LAST] = last;
        if (n->variant == CODE) { /* muted, where more has been taken back than was sent */
            state[SENT] += spikes - back;
            return choose(above(state[SENT], -one), spikes - back, zero);
        }
        back = choose(at_least(state[SENT], one), back, zero);
        if (n->variant == CONS) state[MEMBRANE] += back;
        spikes -= back;
        state[SENT] += spikes;
    }
    return spikes;
}
#endif
