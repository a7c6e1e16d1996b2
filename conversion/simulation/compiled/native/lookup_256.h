/* Looking sums up with AVX2: a table has 16 bytes, and one instruction permutes them in both halves of a register.
 *
 * 3 spikes index 8 sums of 16 bits. Bytes are permuted, so a table holds the low bytes of its sums and then the
 * high ones, and an index is two bytes: where the low byte is, and where the high one is. One instruction does
 * the work of 3 * 16 multiply-accumulates. Sums of more than 16 bits are looked up in two tables, of weights
 * written in two digits of 12 bits; digits are added up in 16 bits over `run` groups of the layer.
 */
#ifndef QUARTET
#define QUARTET 1 /* vectors of one index that are next to each other */
#define PIXELS 8  /* most neighbouring output pixels whose sums are kept until their neurons fire */
#define SPAN 4    /* most vectors whose sums are kept until then */
#define TILE 32   /* most pixels times vectors of both: sums, tables and indices stay in the nearest cache */
#endif

#define NARROW_GROUP 3
#define WIDE_GROUP 3
#define NARROW_TABLE 16 /* bytes of one table */
#define WIDE_TABLE 32   /* those of the lower digits, then those of the higher ones */
#define MOST_TOGETHER 2 /* registers of lanes, of one pixel or several, whose sums are kept together */
#define MOST_WIDE 1     /* the same for sums of 32 bits */
#define DIGIT 4096

INLINE int64_t lanes_together(const int wide) { return 16; }

/* Indices of a vector of lanes. */
typedef struct {
    __m256i half[2];
} places;

INLINE places no_spikes(void) {
    const __m256i none = _mm256_set1_epi16(0x0800);
    return (places){{none, none}};
}

INLINE places with_spikes(places index, uint32_t lanes, int j) {
    const __m256i own = _mm256_set_epi16(
        -0x8000, 0x4000, 0x2000, 0x1000, 0x800, 0x400, 0x200, 0x100, 0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1);
    for (int h = 0; h < 2; h++) {
        const __m256i bits = _mm256_set1_epi16((int16_t)(lanes >> 16 * h));
        const __m256i fired = _mm256_cmpeq_epi16(_mm256_and_si256(bits, own), own);
        index.half[h] = _mm256_or_si256(index.half[h], _mm256_and_si256(fired, _mm256_set1_epi16(0x0101 << j)));
    }
    return index;
}

INLINE void store_places(uint16_t *to, places index) {
    for (int h = 0; h < 2; h++) _mm256_storeu_si256((__m256i *)(to + 16 * h), index.half[h]);
}

/* All sums of 3 weights: bit j of the place in the table says whether weight j takes part. */
INLINE void narrow_table(int8_t *table, const int32_t *weights) {
    for (int place = 0; place < 8; place++) {
        int32_t sum = 0;
        for (int j = 0; j < 3; j++) sum += place >> j & 1 ? weights[j] : 0;
        table[place] = (int8_t)(sum & 255);
        table[place + 8] = (int8_t)(sum >> 8);
    }
}

INLINE void wide_table(int8_t *table, const int32_t *weights) {
    int32_t low[3], high[3];
    for (int j = 0; j < 3; j++) {
        high[j] = (weights[j] + DIGIT / 2) >> 12;
        low[j] = weights[j] - high[j] * DIGIT;
    }
    narrow_table(table, low);
    narrow_table(table + 16, high);
}

/* Sums of some registers of lanes, for a block of output channels. Wide ones are kept in the order in which
 * registers of 16 bits unpack: lanes 0 to 3 and 8 to 11, then 4 to 7 and 12 to 15. */
typedef struct {
    __m256i sums[MOST_TOGETHER][CHANNELS];
    __m256i unpacked[CHANNELS][2];
} lookups;

INLINE void clear(lookups *found) {
    for (int c = 0; c < CHANNELS; c++) {
        for (int i = 0; i < MOST_TOGETHER; i++) found->sums[i][c] = _mm256_setzero_si256();
        for (int h = 0; h < 2; h++) found->unpacked[c][h] = _mm256_setzero_si256();
    }
}

/* Indices, in a register: compilers would read them again for every table, and loads are what is scarce. */
INLINE __m256i indices_at(const uint16_t *index) {
    __m256i found = _mm256_loadu_si256((const __m256i *)index);
    __asm__("" : "+x"(found));
    return found;
}

INLINE __m256i table_at(const int8_t *table) {
    return _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)table));
}

/* One register of lanes by both digits. */
INLINE void look_up_wide(
    lookups *found, const uint16_t *index, const int8_t *table, int64_t groups, int64_t apart, int64_t run) {
    const __m256i digits = _mm256_set1_epi32(DIGIT << 16 | 1);
    for (int64_t from = 0; from < groups; from += run) {
        const int64_t to = from + run < groups ? from + run : groups;
        __m256i low[CHANNELS], high[CHANNELS];
        for (int c = 0; c < CHANNELS; c++) low[c] = high[c] = _mm256_setzero_si256();
        for (int64_t g = from; g < to; g++, table += CHANNELS * WIDE_TABLE) {
            const __m256i spikes = indices_at(index + g * apart);
            for (int c = 0; c < CHANNELS; c++) {
                const int8_t *own = table + c * WIDE_TABLE;
                low[c] = _mm256_add_epi16(low[c], _mm256_shuffle_epi8(table_at(own), spikes));
                high[c] = _mm256_add_epi16(high[c], _mm256_shuffle_epi8(table_at(own + 16), spikes));
            }
        }
        for (int c = 0; c < CHANNELS; c++) {
            const __m256i first = _mm256_madd_epi16(_mm256_unpacklo_epi16(low[c], high[c]), digits);
            const __m256i second = _mm256_madd_epi16(_mm256_unpackhi_epi16(low[c], high[c]), digits);
            found->unpacked[c][0] = _mm256_add_epi32(found->unpacked[c][0], first);
            found->unpacked[c][1] = _mm256_add_epi32(found->unpacked[c][1], second);
        }
    }
}

/* Add the sums of a run of groups: some registers of each of some pixels. */
INLINE void look_up(
    lookups *found, const uint16_t *const *index, const int8_t *table, int64_t groups, int64_t apart, int64_t run,
    const int wide, const int pixels, const int registers) {
    if (wide) {
        look_up_wide(found, index[0], table, groups, apart, run);
        return;
    }
    for (int64_t g = 0; g < groups; g++, table += CHANNELS * NARROW_TABLE) {
        __m256i spikes[MOST_TOGETHER];
        for (int i = 0; i < pixels; i++)
            for (int r = 0; r < registers; r++) spikes[i * registers + r] = indices_at(index[i] + g * apart + r * 16);
        for (int c = 0; c < CHANNELS; c++) {
            const __m256i own = table_at(table + c * NARROW_TABLE);
            for (int n = 0; n < pixels * registers; n++)
                found->sums[n][c] = _mm256_add_epi16(found->sums[n][c], _mm256_shuffle_epi8(own, spikes[n]));
        }
    }
}

/* Add 8 sums, times `weight`, to memory; the first time, write them. */
INLINE void add_sums(int32_t *to, __m256i sums, int64_t weight, int first) {
    if (weight != 1) sums = _mm256_mullo_epi32(sums, _mm256_set1_epi32(weight));
    if (!first) sums = _mm256_add_epi32(sums, _mm256_load_si256((const __m256i *)to));
    _mm256_store_si256((__m256i *)to, sums);
}

/* The sums of register i for channel c. */
INLINE void keep_sums(const lookups *found, int i, int c, int32_t *to, int64_t weight, int first, const int wide) {
    __m256i low, high;
    if (wide) {
        low = _mm256_permute2x128_si256(found->unpacked[c][0], found->unpacked[c][1], 0x20);
        high = _mm256_permute2x128_si256(found->unpacked[c][0], found->unpacked[c][1], 0x31);
    } else {
        low = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(found->sums[i][c]));
        high = _mm256_cvtepi16_epi32(_mm256_extracti128_si256(found->sums[i][c], 1));
    }
    add_sums(to, low, weight, first);
    add_sums(to + 8, high, weight, first);
}
