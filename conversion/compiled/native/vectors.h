/* Sixteen floats at once: AVX-512 where the processor has it, elsewhere what the compiler makes of them. */
#ifndef VECTORS_H
#define VECTORS_H
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define LANES 16
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef int8_t bvec __attribute__((vector_size(LANES)));

INLINE vec all(float value) { return (vec){0} + value; }

INLINE vec load(const float *from) {
    vec value;
    memcpy(&value, from, sizeof value);
    return value;
}

INLINE void store(float *to, vec value) { memcpy(to, &value, sizeof value); }

INLINE vec magnitude(vec v) { return (vec)((ivec)v & 0x7FFFFFFF); }

#if defined(__AVX512F__)
typedef __mmask16 mask;

INLINE mask at_least(vec a, vec b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ); }
INLINE mask above(vec a, vec b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ); }
INLINE vec choose(mask which, vec yes, vec no) { return (vec)_mm512_mask_blend_ps(which, (__m512)no, (__m512)yes); }
INLINE vec least(vec a, vec b) { return (vec)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vec greatest(vec a, vec b) { return (vec)_mm512_max_ps((__m512)a, (__m512)b); }

/* The largest whole number that is not above v. */
INLINE vec whole(vec v) {
    return (vec)_mm512_roundscale_ps((__m512)v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}

/* a * b + c, rounded once. */
INLINE vec multiply_add(vec a, vec b, vec c) { return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }

INLINE vec load_spikes(const int8_t *from) {
    return (vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)from)));
}

INLINE void store_spikes(int8_t *to, vec spikes) {
    _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32((__m512)spikes)));
}
#else
typedef ivec mask;

INLINE mask at_least(vec a, vec b) { return a >= b; }
INLINE mask above(vec a, vec b) { return a > b; }
INLINE vec choose(mask which, vec yes, vec no) { return (vec)((which & (ivec)yes) | (~which & (ivec)no)); }
INLINE vec least(vec a, vec b) { return choose(b > a, a, b); }
INLINE vec greatest(vec a, vec b) { return choose(a > b, a, b); }

/* The largest whole number that is not above v, within +-2^30. */
INLINE vec whole(vec v) {
    const vec within = greatest(least(v, all(1 << 30)), all(-(1 << 30)));
    const vec towards_zero = __builtin_convertvector(__builtin_convertvector(within, ivec), vec);
    return towards_zero - choose(above(towards_zero, within), all(1), all(0));
}

INLINE vec multiply_add(vec a, vec b, vec c) { return a * b + c; }

INLINE vec load_spikes(const int8_t *from) {
    bvec bytes;
    memcpy(&bytes, from, sizeof bytes);
    return __builtin_convertvector(__builtin_convertvector(bytes, ivec), vec);
}

INLINE void store_spikes(int8_t *to, vec spikes) {
    const bvec bytes = __builtin_convertvector(__builtin_convertvector(spikes, ivec), bvec);
    memcpy(to, &bytes, sizeof bytes);
}
#endif
#endif
