/* A register of floats: sixteen with AVX-512, eight with AVX2, elsewhere what the compiler makes of sixteen.
 *
 * A mask says something of each lane; `set` and `bits_of` turn it into bits of a number, and back. */
#ifndef VECTORS_H
#define VECTORS_H
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#if defined(__AVX2__) && defined(__FMA__) && !defined(__AVX512F__)
#define LANES 8
#else
#define LANES 16
#endif
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef int8_t bvec __attribute__((vector_size(LANES)));
typedef uint8_t ubvec __attribute__((vector_size(LANES)));

INLINE vec all(float value) { return (vec){0} + value; }
INLINE ivec all_whole(int32_t value) { return (ivec){0} + value; }
INLINE vec floats(ivec v) { return __builtin_convertvector(v, vec); }

INLINE vec load(const float *from) {
    vec value;
    memcpy(&value, from, sizeof value);
    return value;
}

INLINE void store(float *to, vec value) { memcpy(to, &value, sizeof value); }

INLINE ivec load_whole(const int32_t *from) {
    ivec value;
    memcpy(&value, from, sizeof value);
    return value;
}

INLINE void store_whole(int32_t *to, ivec value) { memcpy(to, &value, sizeof value); }

INLINE vec magnitude(vec v) { return (vec)((ivec)v & 0x7FFFFFFF); }

#if defined(__AVX512F__)
typedef __mmask16 mask;

INLINE mask at_least(vec a, vec b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ); }
INLINE mask above(vec a, vec b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ); }
INLINE vec choose(mask which, vec yes, vec no) { return (vec)_mm512_mask_blend_ps(which, (__m512)no, (__m512)yes); }
INLINE ivec choose_whole(mask which, ivec yes, ivec no) {
    return (ivec)_mm512_mask_blend_epi32(which, (__m512i)no, (__m512i)yes);
}
INLINE mask more_than(ivec a, ivec b) { return _mm512_cmpgt_epi32_mask((__m512i)a, (__m512i)b); }
INLINE mask has_bit(ivec v, int32_t bit) { return _mm512_test_epi32_mask((__m512i)v, _mm512_set1_epi32(bit)); }
INLINE mask set(uint32_t bits) { return (mask)bits; }
INLINE uint32_t bits_of(mask which) { return which; }
INLINE vec add_where(mask which, vec to, vec value) {
    return (vec)_mm512_mask_add_ps((__m512)to, which, (__m512)to, (__m512)value);
}
INLINE vec least(vec a, vec b) { return (vec)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vec greatest(vec a, vec b) { return (vec)_mm512_max_ps((__m512)a, (__m512)b); }

/* The largest whole number that is not above v. */
INLINE vec whole(vec v) { return (vec)_mm512_roundscale_ps((__m512)v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }

/* a * b + c, rounded once. */
INLINE vec multiply_add(vec a, vec b, vec c) { return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }

INLINE ivec load_whole_spikes(const int8_t *from) {
    return (ivec)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)from));
}

INLINE ivec load_whole_bytes(const uint8_t *from) {
    return (ivec)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)from));
}

/* The lowest byte of each. */
INLINE void store_spikes(int8_t *to, vec spikes) {
    _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32((__m512)spikes)));
}
#elif LANES == 8
typedef ivec mask;

INLINE mask at_least(vec a, vec b) { return (mask)_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GE_OQ); }
INLINE mask above(vec a, vec b) { return (mask)_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GT_OQ); }
INLINE vec choose(mask which, vec yes, vec no) { return (vec)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)which); }
INLINE ivec choose_whole(mask which, ivec yes, ivec no) {
    return (ivec)_mm256_blendv_epi8((__m256i)no, (__m256i)yes, (__m256i)which);
}
INLINE mask more_than(ivec a, ivec b) { return a > b; }
INLINE mask has_bit(ivec v, int32_t bit) { return (v & bit) == bit; }
INLINE mask set(uint32_t bits) {
    const ivec own = {1, 2, 4, 8, 16, 32, 64, 128};
    return (all_whole((int32_t)bits) & own) == own;
}
INLINE uint32_t bits_of(mask which) { return (uint32_t)_mm256_movemask_ps((__m256)which); }
INLINE vec add_where(mask which, vec to, vec value) { return to + (vec)(which & (ivec)value); }
INLINE vec least(vec a, vec b) { return (vec)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE vec greatest(vec a, vec b) { return (vec)_mm256_max_ps((__m256)a, (__m256)b); }

/* The largest whole number that is not above v. */
INLINE vec whole(vec v) { return (vec)_mm256_floor_ps((__m256)v); }

/* a * b + c, rounded once. */
INLINE vec multiply_add(vec a, vec b, vec c) { return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }

INLINE ivec load_whole_spikes(const int8_t *from) {
    return (ivec)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)from));
}

INLINE ivec load_whole_bytes(const uint8_t *from) {
    return (ivec)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)from));
}

/* The lowest byte of each. */
INLINE void store_spikes(int8_t *to, vec spikes) {
    const __m256i numbers = _mm256_and_si256(_mm256_cvtps_epi32((__m256)spikes), _mm256_set1_epi32(0xFF));
    const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(numbers), _mm256_extracti128_si256(numbers, 1));
    _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(halves, halves));
}
#else
typedef ivec mask;

INLINE mask at_least(vec a, vec b) { return a >= b; }
INLINE mask above(vec a, vec b) { return a > b; }
INLINE ivec choose_whole(mask which, ivec yes, ivec no) { return (which & yes) | (~which & no); }
INLINE vec choose(mask which, vec yes, vec no) { return (vec)choose_whole(which, (ivec)yes, (ivec)no); }
INLINE mask more_than(ivec a, ivec b) { return a > b; }
INLINE vec add_where(mask which, vec to, vec value) { return to + (vec)(which & (ivec)value); }
INLINE vec least(vec a, vec b) { return choose(b > a, a, b); }
INLINE vec greatest(vec a, vec b) { return choose(a > b, a, b); }

/* The largest whole number that is not above v, within +-2^30. */
INLINE vec whole(vec v) {
    const vec within = greatest(least(v, all(1 << 30)), all(-(1 << 30)));
    const vec towards_zero = __builtin_convertvector(__builtin_convertvector(within, ivec), vec);
    return towards_zero - choose(above(towards_zero, within), all(1), all(0));
}

#if defined(__FP_FAST_FMAF)
INLINE vec multiply_add(vec a, vec b, vec c) {
    for (int i = 0; i < LANES; i++) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
}
#else /* where it would be slow, rounded twice */
INLINE vec multiply_add(vec a, vec b, vec c) { return a * b + c; }
#endif

INLINE ivec load_whole_spikes(const int8_t *from) {
    bvec bytes;
    memcpy(&bytes, from, sizeof bytes);
    return __builtin_convertvector(bytes, ivec);
}

INLINE ivec load_whole_bytes(const uint8_t *from) {
    ubvec bytes;
    memcpy(&bytes, from, sizeof bytes);
    return __builtin_convertvector(bytes, ivec);
}

/* The lowest byte of each. */
INLINE void store_spikes(int8_t *to, vec spikes) {
    const bvec bytes = __builtin_convertvector(__builtin_convertvector(spikes, ivec), bvec);
    memcpy(to, &bytes, sizeof bytes);
}
#endif

/* Spikes of bytes with or without a sign. */
INLINE ivec load_either(const int8_t *from, int64_t is_unsigned) {
    return is_unsigned ? load_whole_bytes((const uint8_t *)from) : load_whole_spikes(from);
}

/* Spikes as floats, of the same value. */
INLINE vec load_spikes(const int8_t *from, int64_t is_unsigned) { return floats(load_either(from, is_unsigned)); }
#endif
