/* Neurons behind a matrix unit: what follows the sums that tiles hold; see tiles.h. */

#define NEIGHBOURS 4 /* registers of neurons that fire side by side, as each waits for its own last step */
#define SUMS 256     /* of a tile: 16 rows of 16 channels */

/* Everything that follows the sums, for some registers of neurons and the steps of one image: those of neighbouring
 * pixels, or without sums those that lie side by side. `place` is that of the first in the output of one step, `next`
 * from the sums of one to those of the next. */
INLINE void settle(
    const layer *l, const int32_t *sums, int64_t column, int64_t row, int64_t place, int64_t b, int64_t t,
    int64_t steps, const int64_t next, const int digits, const int registers, const int kind) {
    const int64_t map = l->out_height * l->out_width * l->outputs, at = b * map + place;
    const int64_t apart = digits ? l->outputs : LANES;
    int64_t channel[NEIGHBOURS];
    const int states = kind == NONE ? 0 : states_of(kind == SOME_KIND ? l->neurons.kind : kind);
    vec state[NEIGHBOURS][MAX_STATES], counted[NEIGHBOURS], answers[NEIGHBOURS];
    float *answer = fires(kind) ? l->neurons.answer : 0;
    for (int i = 0; i < registers; i++) {
        channel[i] = digits ? place % l->outputs : (place + i * LANES) % l->outputs;
        counted[i] = all(0);
        for (int s = 0; s < states; s++) state[i][s] = load(l->neurons.state[s] + at + i * apart);
        if (answer) answers[i] = load(answer + at + i * apart);
    }
    const vec scale = digits ? load(l->scale + channel[0]) : all(0);
    for (int64_t step = 0; step < steps; step++) {
        vec currents[NEIGHBOURS];
        for (int i = 0; i < registers; i++) {
            currents[i] = load(l->bias + (t + step) * l->bias_step + channel[i]);
            if (!digits) continue;
            const int32_t *own = sums + i * next + column * SUMS + (row + step) * LANES;
            ivec each[3];
            for (int p = 0; p < digits; p++) each[p] = load_whole(own + p * SUMS);
            currents[i] = multiply_add(joined(each, all_whole(0), digits, l->in_floats), scale, currents[i]);
        }
        for (int64_t a = 0; a < l->addends; a++) {
            const addend *add = &l->add[a];
            const int64_t from = (t + step) * add->step + at;
            for (int i = 0; i < registers; i++) {
                const vec value = add->is_spikes
                    ? load_spikes((const int8_t *)add->values + from + i * apart, add->is_spikes == 2)
                    : load((const float *)add->values + from + i * apart);
                currents[i] = multiply_add(load(add->scale + channel[i]), value, currents[i]);
            }
        }
        const int64_t to = (t + step) * l->images * map + at;
        for (int i = 0; i < registers; i++) {
            if (!fires(kind)) {
                if (kind != NONE) currents[i] = said(&l->neurons, state[i], currents[i], t + step, kind);
                store(l->currents + to + i * apart, currents[i]);
                continue;
            }
            if (answer) currents[i] = received(&l->neurons, state[i], &answers[i], currents[i], t + step);
            if (kind == BINARY) {
                const mask fires = fire_binary(&state[i][MEMBRANE], currents[i]);
                counted[i] = add_where(fires, counted[i], all(1));
                _mm_storeu_si128((__m128i *)(l->fired + to + i * apart), _mm_maskz_set1_epi8(fires, 1));
                continue;
            }
            const vec spikes = kind == SOME_KIND ? fire_some(&l->neurons, state[i], currents[i], t + step)
                                                 : fire(&l->neurons, state[i], currents[i], t + step, kind);
            counted[i] += events(&l->neurons, spikes);
            send(l, to + i * apart, channel[i], spikes);
        }
    }
    if (kind == NONE) return;
    for (int i = 0; i < registers; i++) {
        float *counts = l->counts + place + i * apart;
        if (fires(kind)) store(counts, load(counts) + counted[i]);
        for (int s = 0; s < states; s++) store(l->neurons.state[s] + at + i * apart, state[i][s]);
        if (answer) store(answer + at + i * apart, answers[i]);
    }
}

/* The steps of an image for a few registers; fewer than NEIGHBOURS come one by one. */
INLINE void settle_all(
    const layer *l, const int32_t *sums, int64_t column, int64_t row, int64_t place, int64_t registers, int64_t b,
    int64_t t, int64_t steps, const int64_t next, const int digits) {
    const int64_t apart = digits ? l->outputs : LANES;
    switch (l->neurons.kind) {
#define SETTLE(KIND) \
    case KIND: \
        for (; registers >= NEIGHBOURS; registers -= NEIGHBOURS) { \
            settle(l, sums, column, row, place, b, t, steps, next, digits, NEIGHBOURS, KIND); \
            sums += NEIGHBOURS * next; \
            place += NEIGHBOURS * apart; \
        } \
        for (int64_t i = 0; i < registers; i++) \
            settle(l, sums + i * next, column, row, place + i * apart, b, t, steps, next, digits, 1, KIND); \
        break;
        SETTLE(NONE)
        SETTLE(BINARY)
        SETTLE(BURST)
        SETTLE(SIGNED)
        SETTLE(CALIBRATED)
        SETTLE(DIFFERENTIAL)
        SETTLE(TRACKING)
        SETTLE(ROUNDING)
        SETTLE(TWO_SIDED)
        SETTLE(MEANS)
        SETTLE(ESTIMATES)
#undef SETTLE
        default:
            for (int64_t i = 0; i < registers; i++)
                settle(l, sums + i * next, column, row, place + i * apart, b, t, steps, next, digits, 1, SOME_KIND);
    }
}

/* Compiled once for each number of digits. */
#define SETTLER(DIGITS) \
    static __attribute__((noinline)) void settle_##DIGITS( \
        const layer *l, const int32_t *sums, int64_t column, int64_t row, int64_t place, int64_t registers, int64_t b, \
        int64_t t, int64_t steps, int64_t next) { \
        settle_all(l, sums, column, row, place, registers, b, t, steps, next, DIGITS); \
    }
SETTLER(0)
SETTLER(1)
SETTLER(2)
SETTLER(3)
#undef SETTLER
static void (*const settlers[])(
    const layer *, const int32_t *, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t) = {
    settle_0, settle_1, settle_2, settle_3};
