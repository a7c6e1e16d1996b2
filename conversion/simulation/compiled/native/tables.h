/* What the caller of tables.c passes. Shapes are in memory order, last axis fastest.
 *
 * Everything that belongs to output channels comes in blocks of 4 channels: [C / 4, H, W, ..., 4 channels,
 * lanes], so that a block is run through from one end to the other.
 * Bits of spikes: [C / 4, H, W, planes, T, 4], an element holds one bit an image: 32, 16 or 8 bits, and 8
 * for 4 images. Spikes of more than one size have a plane each for 1, 2, 4 of them ("weights"); where some
 * are negative, the last plane is that of the sign in two's complement, and its weight is negative.
 * Indices: uint16 [planes, H, vectors / 4, W, groups, 4 vectors, 32 lanes], lane = step * images + image;
 * where 4 do not divide the vectors, the last quartet has fewer. This is the order in which they are used.
 */
#include "neurons.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__) && defined(__BMI2__)
#define HAS_TABLES 1
#elif LANES == 8 && defined(__BMI2__)
#define HAS_TABLES 1
#else
#define HAS_TABLES 0
#endif

#define VECTOR 32    /* lanes of an index */
#define CHANNELS 4   /* of a block: computed together */
#define MAX_ADDENDS 8
#define MAX_PLANES 4

typedef struct {
    const uint8_t *bits;
    uint16_t *index; /* or NULL */
    float *counts;   /* [H, W, C], sizes of spikes are added to it; or NULL */
    int64_t planes, steps, images, height, width, channels;
    int64_t group, vectors; /* channels of one index; vectors = ceil(T * images / 32) */
    int64_t weights[MAX_PLANES];
} index_job;

typedef struct {
    const void *values;  /* bits of spikes, or float [C' / 4, H', W', T or 1, 4, images] */
    const float *scale;  /* [C' * images] */
    int64_t step;        /* elements from one time step to the next; 0: constant over time */
    int64_t pixel;       /* elements from one pixel to the next */
    int64_t planes;      /* 0: floats */
    int64_t weights[MAX_PLANES];
} table_addend;

typedef struct {
    const uint16_t *index; /* NULL: no synapses, only addends */
    int64_t planes, steps, images, vectors, height, width, groups;
    int64_t plane_weights[MAX_PLANES];
    const int32_t *weights;     /* [C', taps, groups, group], fixed point */
    const float *scale, *bias;  /* [C' * images] */
    int64_t bias_step;          /* elements from the bias of one time step to that of the next; 0: the same in all */
    const int64_t *blocks;      /* [count, 4]: taps from, to, groups from, to, whose sums fit 16 bits */
    int64_t block_count, wide;  /* wide: tables of 32 bits */
    int64_t run;                /* wide: most neighbouring groups whose digits add up in 16 bits */
    int64_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    int64_t out_height, out_width, outputs;
    int64_t addends;
    table_addend add[MAX_ADDENDS];
    neurons neurons;  /* states [C' / 4, H', W', 4, images]; without any, currents are written */
    int64_t out_planes;
    uint8_t *fired;   /* bits */
    float *currents;  /* [C' / 4, H', W', T, 4, images] */
} table_layer;
