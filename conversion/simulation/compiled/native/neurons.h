/* What neurons do with a current: the same for every kernel, sixteen neurons at once.
 *
 * All reset by subtraction and count in their thresholds; `conversion.neurons` has their equations. Only
 * operations that PyTorch rounds in the same way are used, in the same order and without joining products and
 * sums (-ffp-contract=off), so both fire the same spikes from the same currents. A neuron remembers its membrane
 * and, where it takes spikes back, what it has sent. One whose membrane is minus infinity stays silent.
 *
 * A kind says what a neuron does with its membrane; how its spikes count, and what carries them, is said apart.
 */
#ifndef NEURONS_H
#define NEURONS_H
#include <math.h>

#include "vectors.h"

/* NONE: currents are what is asked for; MEANS: what has arrived, averaged over time; ESTIMATES: the same where changes
 * of an estimate arrive. */
enum {
    NONE,
    BINARY,
    BURST,
    SIGNED,
    CALIBRATED,
    LEAKY,
    DIFFERENTIAL,
    ROUNDING,
    TRACKING,
    BOUNDED,
    MEANS,
    TWO_SIDED,
    CAPPED, /* DIFFERENTIAL with an upper bound */
    BIPOLAR,
    ESTIMATES
};

#define MAX_STATES 5
enum { MEMBRANE, SENT, LAST, FIRINGS }; /* of a state */
enum {
    ARRIVED = 1,
    ANSWER,
    BOUND
}; /* of that of TRACKING and BOUNDED: sum of currents, t F(their mean), upper bound */
/* Of that of DIFFERENTIAL and CAPPED: estimates of what has come and gone, current at rest, bound of what goes. */
enum { INPUT = 1, OUTPUT, REST, MOST };
enum { AT_REST = 2 }; /* of that of BIPOLAR, after SENT: current at rest */
enum { CHANGED, FROM }; /* of that of ESTIMATES: weighted changes, and what arrived at rest */

typedef struct {
    int64_t kind;
    int64_t done; /* time steps before these */
    float most;   /* spikes sent in one step */
    float back;   /* spikes taken back in one step */
    float
        bound; /* SIGNED and TWO_SIDED: membrane at or below which they are; CALIBRATED: silent steps allowed beyond the
                     mean interval; BURST: added to the membrane before it is rounded down; LEAKY: slope; DIFFERENTIAL:
                     share of a level that fires it; TRACKING: slope below zero; BIPOLAR: largest sum of what is sent */
    int32_t variant; /* see below; BIPOLAR: minus the least sum of what is sent */
    int64_t counted; /* how spikes are counted */
    float *state[MAX_STATES]; /* in and out; each as the output in one time step */
    float
        *answer; /* likewise, or none: what arrives is F of all that has arrived so far, not a current; with it, t F in
                      the last step, or F where changes are sent */
    const float *weights; /* of each of these steps, where changes of an estimate are sent; else none */
} neurons;

enum { FIX, CONS, CODE };
enum { WHOLE, NEAREST_LEVEL }; /* of ROUNDING, TRACKING and BOUNDED: any whole number is sent, or powers of two alone */
enum { ONE_SIGN, BOTH_SIGNS }; /* of DIFFERENTIAL and CAPPED: what was sent stays at or above zero, or does not */
enum { SIZES, ONES, DIGITS }; /* counted by size, each once, or by the ones of their binary digits */

/* How many states a kind has. */
INLINE int states_of(int64_t kind) {
    switch (kind) {
        case CAPPED: return 5;
        case CALIBRATED:
        case DIFFERENTIAL:
        case BOUNDED: return 4;
        case BIPOLAR:
        case TRACKING: return 3;
        case ESTIMATES:
        case SIGNED: return 2;
        default: return 1;
    }
}

/* 1 where neurons fire; else values are written. */
INLINE int fires(int64_t kind) { return kind != NONE && kind != MEANS && kind != ESTIMATES; }

/* Ones of the binary digits of whole numbers of at most 16: sums of single digits, of pairs, fours and eights. */
INLINE vec ones_of(vec numbers) {
    ivec n = __builtin_convertvector(numbers, ivec);
    n = (n & 0x5555) + ((n >> 1) & 0x5555);
    n = (n & 0x3333) + ((n >> 2) & 0x3333);
    n = (n & 0x0F0F) + ((n >> 4) & 0x0F0F);
    return floats((n & 0x00FF) + (n >> 8));
}

/* Spikes as energy counts them: a level is one, a burst as many as it is long. */
INLINE vec events(const neurons *n, vec spikes) {
    const vec sizes = magnitude(spikes);
    switch (n->counted) {
        case ONES: return least(sizes, all(1));
        case DIGITS: return ones_of(sizes);
        default: return sizes;
    }
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

/* What a membrane of minus infinity sends: nothing. */
INLINE vec unless_silent(vec v, vec spikes) { return choose(above(v, all(-INFINITY)), spikes, all(0)); }

/* The largest power of two, up to `most`, that the size of v has reached, less a half, with the sign of v. */
INLINE vec nearest_level(vec v, float most) {
    const vec size = magnitude(v), zero = all(0);
    vec found = zero;
    for (float power = 1; power <= most; power *= 2)
        found = choose(at_least(size, all(power - 0.5f)), all(power), found);
    return choose(above(zero, v), -found, found);
}

/* Spikes of both signs that bring the membrane to within what rounding leaves. */
INLINE vec rounded(const neurons *n, vec v) {
    if (n->variant == NEAREST_LEVEL) return unless_silent(v, nearest_level(v, n->most));
    return unless_silent(v, greatest(least(whole(v), all(n->most)), all(-n->back)));
}

/* t F(mean) after this step; its growth is what a tracking neuron receives. */
INLINE vec answer(const neurons *n, vec state[MAX_STATES], vec current, int64_t t, const int kind) {
    const vec now = all((float)(n->done + t + 1)), zero = all(0);
    state[ARRIVED] += current;
    const vec mean = state[ARRIVED] / now;
    if (kind == BOUNDED) return greatest(now * least(mean, state[BOUND]), zero);
    return choose(above(mean, zero), now * mean, now * (mean * n->bound));
}

/* What has been said up to step `t` of these: the mean of what has arrived, or the estimate. */
INLINE vec said(const neurons *n, vec state[MAX_STATES], vec current, int64_t t, const int kind) {
    if (kind == ESTIMATES) {
        state[CHANGED] += (current - state[FROM]) * n->weights[t];
        return state[FROM] + state[CHANGED];
    }
    state[0] += current;
    return state[0] / all((float)(n->done + t + 1));
}

/* What makes a receiver hear `value` after step `t` of these, which says all that has arrived so far. */
INLINE vec received(const neurons *n, const vec state[MAX_STATES], vec *answer, vec value, int64_t t) {
    const vec before = *answer;
    *answer = n->weights ? value : (float)(n->done + t + 1) * value;
    if (!n->weights) return *answer - before;
    return state[n->kind == BIPOLAR ? AT_REST : REST] + (*answer - before) / n->weights[t];
}

/* Negative spikes of a membrane: the fewest that lift it above the bound. */
INLINE vec owed(const neurons *n, vec v) {
    const vec count = n->bound == 0 ? -whole(v) : whole(n->bound - v) + all(1);
    return greatest(least(count, all(n->back)), all(0));
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
        spikes = rounded(n, v);
        state[MEMBRANE] = v - spikes;
    } else if (kind == TRACKING || kind == BOUNDED) {
        const vec total = answer(n, state, current, t, kind);
        const vec moved = state[MEMBRANE] + (total - state[ANSWER]);
        spikes = rounded(n, moved);
        state[MEMBRANE] = moved - spikes;
        state[ANSWER] = total;
    } else if (kind == LEAKY) {
        const mask below = at_least(-one, v * n->bound) & above(v, all(-INFINITY));
        spikes = choose(at_least(v, one), one, zero);
        state[MEMBRANE] = v - spikes + choose(below, one / n->bound, zero);
        spikes -= choose(below, one, zero);
    } else if (kind == SIGNED) {
        spikes = burst(v, n->most) - least(owed(n, v), state[SENT]);
        state[MEMBRANE] = v - spikes;
        state[SENT] += spikes;
    } else if (kind == TWO_SIDED) {
        spikes = unless_silent(v, burst(v, n->most) - owed(n, v));
        state[MEMBRANE] = v - spikes;
    } else if (kind == BIPOLAR) {
        const vec moved = v - state[AT_REST];
        const mask more = at_least(moved, one) & above(all(n->bound), state[SENT]);
        const mask less = above(zero, moved) & above(state[SENT], all(-(float)n->variant));
        spikes = unless_silent(moved, choose(more, one, zero) - choose(less, one, zero));
        state[MEMBRANE] = moved - spikes;
        state[SENT] += spikes;
    } else if (kind == DIFFERENTIAL || kind == CAPPED) { /* what has been said stays within bounds, but for rounding */
        const vec now = all((float)(n->done + t + 1)), change = current - state[REST], margin = all(1e-4f);
        const vec moved = state[MEMBRANE] + change + state[INPUT] - state[OUTPUT];
        const mask below = above(zero, moved);
        vec reached = magnitude(moved) / all(n->bound);
        if (n->variant == ONE_SIGN) reached = choose(below, least(reached, now * state[OUTPUT] + margin), reached);
        if (kind == CAPPED) {
            const vec room = now * (state[MOST] - state[OUTPUT]) + margin;
            reached = choose(above(moved, zero), least(reached, room), reached);
        }
        spikes = level(reached, n->most);
        spikes = unless_silent(moved, choose(below, -spikes, spikes));
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

#define SOME_KIND (-1) /* any of those that are not worth machine code of their own in every loop */
#define FIRE(KIND) \
    case KIND: return fire(n, state, current, t, KIND);

/* `fire` of a kind that is known only now. */
static __attribute__((noinline, unused)) vec
fire_some(const neurons *n, vec state[MAX_STATES], vec current, int64_t t) {
    switch (n->kind) {
        FIRE(LEAKY)
        FIRE(ROUNDING)
        FIRE(BOUNDED)
        FIRE(TWO_SIDED)
        FIRE(CAPPED)
        default: return fire(n, state, current, t, BIPOLAR);
    }
}
#undef FIRE
#endif
