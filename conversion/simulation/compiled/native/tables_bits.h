/* Bits of spikes of a register of neurons; see tables.h for their order. */

/* Those from `at` on, which counts images. With 4 images, half of a byte is used. */
INLINE mask load_bits(const void *bits, int64_t at, const int images) {
    const uint8_t *from = (const uint8_t *)bits + at / (images == 4 ? 4 : 8);
    if (images == 4) {
        uint32_t bytes = 0;
        memcpy(&bytes, from, LANES / 4);
        return set(_pext_u32(bytes, 0x0F0F0F0F));
    }
    uint32_t bytes = 0;
    memcpy(&bytes, from, LANES / 8);
    return set(bytes);
}

INLINE void store_bits(uint8_t *bits, int64_t at, mask fires, const int images) {
    uint8_t *to = bits + at / (images == 4 ? 4 : 8);
    if (images == 4) {
        const uint32_t bytes = _pdep_u32(bits_of(fires), 0x0F0F0F0F);
        memcpy(to, &bytes, LANES / 4);
        return;
    }
    const uint32_t bytes = bits_of(fires);
    memcpy(to, &bytes, LANES / 8);
}
