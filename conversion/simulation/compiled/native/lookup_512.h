/* Looking sums up with AVX-512: a table fills two registers, and one instruction permutes both.
 *
 * 6 spikes index 64 sums of 16 bits, 5 spikes 32 sums of 32 bits: the work of 6 * 32 or 5 * 16
 * multiply-accumulates.
 */
#define QUARTET 4 /* vectors of one index that are next to each other */
#define PIXELS 8  /* most neighbouring output pixels whose sums are kept until their neurons fire */
#define SPAN 16   /* most vectors whose sums are kept until then */
#define TILE 32   /* most pixels times vectors of both: sums, tables and indices stay in the nearest cache */

#define NARROW_GROUP 6
#define WIDE_GROUP 5
#define NARROW_TABLE 128 /* bytes of one table */
#define WIDE_TABLE 128
#define MOST_TOGETHER 4 /* registers of lanes, of one pixel or several, whose sums are kept together */
#define MOST_WIDE 4     /* the same for sums of 32 bits */

INLINE int64_t lanes_together(const int wide) { return wide ? 16 : 32; }

/* Indices of a vector of lanes. */
typedef __m512i places;

INLINE places no_spikes(void) { return _mm512_setzero_si512(); }

INLINE places with_spikes(places index, uint32_t lanes, int j) {
    return _mm512_mask_add_epi16(index, lanes, index, _mm512_set1_epi16(1 << j));
}

INLINE void store_places(uint16_t *to, places index) { _mm512_storeu_si512(to, index); }

/* All sums of 6 weights: bit j of the place in the table says whether weight j takes part. */
INLINE void narrow_table(int8_t *table, const int32_t *weights) {
    static const uint32_t has[5] = {0xAAAAAAAA, 0xCCCCCCCC, 0xF0F0F0F0, 0xFF00FF00, 0xFFFF0000};
    __m512i low = _mm512_setzero_si512();
    for (int j = 0; j < 5; j++) low = _mm512_mask_add_epi16(low, has[j], low, _mm512_set1_epi16(weights[j]));
    _mm512_storeu_si512(table, low);
    _mm512_storeu_si512(table + 64, _mm512_add_epi16(low, _mm512_set1_epi16(weights[5])));
}

/* All sums of 5 weights. */
INLINE void wide_table(int8_t *table, const int32_t *weights) {
    static const uint16_t has[4] = {0xAAAA, 0xCCCC, 0xF0F0, 0xFF00};
    __m512i low = _mm512_setzero_si512();
    for (int j = 0; j < 4; j++) low = _mm512_mask_add_epi32(low, has[j], low, _mm512_set1_epi32(weights[j]));
    _mm512_storeu_si512(table, low);
    _mm512_storeu_si512(table + 64, _mm512_add_epi32(low, _mm512_set1_epi32(weights[4])));
}

/* Sums of some registers of lanes, for a block of output channels. */
typedef struct {
    __m512i sums[MOST_TOGETHER][CHANNELS];
} lookups;

INLINE void clear(lookups *found) {
    for (int i = 0; i < MOST_TOGETHER; i++)
        for (int c = 0; c < CHANNELS; c++) found->sums[i][c] = _mm512_setzero_si512();
}

/* Add the sums of a run of groups: some registers of each of some pixels. */
INLINE void look_up(
    lookups *found, const uint16_t *const *index, const int8_t *table, int64_t groups, int64_t apart, int64_t run,
    const int wide, const int pixels, const int registers) {
    for (int64_t g = 0; g < groups; g++, table += CHANNELS * NARROW_TABLE) {
        __m512i low[CHANNELS], high[CHANNELS];
        for (int c = 0; c < CHANNELS; c++) {
            low[c] = _mm512_load_si512(table + c * NARROW_TABLE);
            high[c] = _mm512_load_si512(table + c * NARROW_TABLE + 64);
        }
        for (int i = 0; i < pixels; i++)
            for (int r = 0; r < registers; r++) {
                const uint16_t *from = index[i] + g * apart + r * (wide ? 16 : 32);
                __m512i spikes =
                    wide ? _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from)) : _mm512_loadu_si512(from);
                __m512i *sum = found->sums[i * registers + r];
                for (int c = 0; c < CHANNELS; c++)
                    sum[c] = wide ? _mm512_add_epi32(sum[c], _mm512_permutex2var_epi32(low[c], spikes, high[c]))
                                  : _mm512_add_epi16(sum[c], _mm512_permutex2var_epi16(low[c], spikes, high[c]));
            }
    }
}

/* Add one register of 16 sums, times `weight`, to memory; the first time, write it. */
INLINE void add_sums(int32_t *to, __m512i sums, int64_t weight, int first) {
    if (weight != 1) sums = _mm512_mullo_epi32(sums, _mm512_set1_epi32(weight));
    if (!first) sums = _mm512_add_epi32(sums, _mm512_load_si512(to));
    _mm512_store_si512(to, sums);
}

/* The sums of register i for channel c. */
INLINE void keep_sums(const lookups *found, int i, int c, int32_t *to, int64_t weight, int first, const int wide) {
    const __m512i sum = found->sums[i][c];
    if (wide) {
        add_sums(to, sum, weight, first);
        return;
    }
    add_sums(to, _mm512_cvtepi16_epi32(_mm512_castsi512_si256(sum)), weight, first);
    add_sums(to + 16, _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(sum, 1)), weight, first);
}
