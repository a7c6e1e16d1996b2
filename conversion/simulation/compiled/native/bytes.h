/* Products of spikes and weights, both in bytes, by what the processor has for them.
 *
 * Processors multiply unsigned by signed bytes. AVX-512 VNNI adds four products to a sum of 32 bits at once.
 * AVX2 adds two in 16 bits; those are added up as long as 16 bits surely hold them, then in 32 bits.
 */
#include "vectors.h"

#define TILE 4 /* neighbouring output pixels computed together, so that each weight is loaded once for all */

#if defined(__AVX512VNNI__)
#define HAS_SYNAPSES 1
#define NEEDS_SHIFT 1 /* signed spikes arrive 128 too large */

/* Add the products of one run of channels, for a tile of pixels, to sums[pixel][digit][vector].
 *
 * Where spikes are signed, 128 is added to each of them, which flips one bit; `shift` of the layer, -128 times
 * the sum of the weights of a row of the kernel, makes up for it. What overflows on the way comes back: all
 * sums are modulo 2^32, and the last one fits. */
INLINE void multiply(
    ivec sums[TILE][3][2], const int8_t *const pixels[TILE], const int8_t *weights, int64_t channels, const int digits,
    const int vectors, const int is_signed, int64_t largest) {
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    for (int64_t c = 0; c < channels; c += 4) {
        __m512i w[3][2];
        for (int p = 0; p < digits; p++)
            for (int k = 0; k < vectors; k++)
                w[p][k] = _mm512_loadu_si512(weights + (c / 4 * digits * vectors + p * vectors + k) * 64);
        for (int i = 0; i < TILE; i++) {
            int32_t four;
            memcpy(&four, pixels[i] + c, 4);
            __m512i s = _mm512_set1_epi32(four);
            if (is_signed) s = _mm512_xor_si512(s, flip);
            for (int p = 0; p < digits; p++)
                for (int k = 0; k < vectors; k++)
                    sums[i][p][k] = (ivec)_mm512_dpbusd_epi32((__m512i)sums[i][p][k], s, w[p][k]);
        }
    }
}
#elif LANES == 8
#define HAS_SYNAPSES 1
#define NEEDS_SHIFT 0

/* Add the products of one run of channels, for a tile of pixels, to sums[pixel][digit][vector].
 *
 * Where spikes are signed, the sign of each moves from the weight, whose magnitude is the unsigned factor, to
 * the spike. */
INLINE void multiply(
    ivec sums[TILE][3][2], const int8_t *const pixels[TILE], const int8_t *weights, int64_t channels, const int digits,
    const int vectors, const int is_signed, int64_t largest) {
    const __m256i ones = _mm256_set1_epi16(1);
    if (largest > 127) { /* no two products of bytes fit 16 bits: multiply in 16 bits, even and odd bytes apart */
        for (int p = 0; p < digits; p++)
            for (int64_t c = 0; c < channels; c += 4) {
                __m256i even[2], odd[2];
                for (int k = 0; k < vectors; k++) {
                    const __m256i w = _mm256_loadu_si256(
                        (const __m256i *)(weights + (c / 4 * digits * vectors + p * vectors + k) * 32));
                    even[k] = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
                    odd[k] = _mm256_srai_epi16(w, 8);
                }
                for (int i = 0; i < TILE; i++) {
                    int32_t four;
                    memcpy(&four, pixels[i] + c, 4);
                    const __m256i s = _mm256_set1_epi32(four), first = _mm256_and_si256(s, _mm256_set1_epi16(255));
                    const __m256i second = _mm256_srli_epi16(s, 8);
                    for (int k = 0; k < vectors; k++)
                        sums[i][p][k] += (ivec)_mm256_add_epi32(
                            _mm256_madd_epi16(first, even[k]), _mm256_madd_epi16(second, odd[k]));
                }
            }
        return;
    }
    const int64_t run = 4 * (32767 / (2 * 128 * largest)); /* channels whose sums fit 16 bits */
    for (int p = 0; p < digits; p++)
        for (int64_t from = 0; from < channels; from += run) {
            const int64_t to = from + run < channels ? from + run : channels;
            __m256i partial[TILE][2];
            for (int i = 0; i < TILE; i++)
                for (int k = 0; k < vectors; k++) partial[i][k] = _mm256_setzero_si256();
            for (int64_t c = from; c < to; c += 4) {
                __m256i w[2];
                for (int k = 0; k < vectors; k++)
                    w[k] = _mm256_loadu_si256(
                        (const __m256i *)(weights + (c / 4 * digits * vectors + p * vectors + k) * 32));
                for (int i = 0; i < TILE; i++) {
                    int32_t four;
                    memcpy(&four, pixels[i] + c, 4);
                    const __m256i s = _mm256_set1_epi32(four);
                    for (int k = 0; k < vectors; k++) {
                        const __m256i pairs = is_signed
                            ? _mm256_maddubs_epi16(_mm256_abs_epi8(w[k]), _mm256_sign_epi8(s, w[k]))
                            : _mm256_maddubs_epi16(s, w[k]);
                        partial[i][k] = _mm256_add_epi16(partial[i][k], pairs);
                    }
                }
            }
            for (int i = 0; i < TILE; i++)
                for (int k = 0; k < vectors; k++) sums[i][p][k] += (ivec)_mm256_madd_epi16(partial[i][k], ones);
        }
}
#else
#define HAS_SYNAPSES 0
#endif
