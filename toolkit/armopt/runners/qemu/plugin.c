/* A QEMU TCG plugin that counts what one inference executes.
 *
 * Between two marker system calls (close() of descriptors that can't exist) it counts how often each translation
 * block runs and, if cache sizes are given, simulates two levels of data cache (a third marker ahead of the warm-up
 * inference starts the simulation alone). At the second marker it writes one
 * file: a header of twelve 64-bit words, then per executed block {address, executions, instructions, words...}.
 *
 * The parts of QEMU's plugin interface that it uses are declared here, because distributions ship no header for it.
 * ARMOPT_PLUGIN_API: 1 for QEMU before 9.0 (inline addition to a plain word), 3 for newer ones, whose inline call
 * takes a scoreboard and whose instruction data is copied out; there a callback counts instead.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef ARMOPT_PLUGIN_API
#define ARMOPT_PLUGIN_API 1
#endif
#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
enum { CB_NO_REGS = 0 };  /* enum qemu_plugin_cb_flags */
enum { MEM_RW = 3 };      /* enum qemu_plugin_mem_rw */
enum { INLINE_ADD_U64 = 0 }; /* enum qemu_plugin_op */
typedef void (*tb_trans_cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*vcpu_cb)(unsigned int vcpu, void *data);
typedef void (*mem_cb)(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data);
typedef void (*syscall_cb)(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t a1, uint64_t a2,
                           uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_trans_cb cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, vcpu_cb cb, int flags, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn, mem_cb cb, int flags, int rw, void *data);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id, syscall_cb cb);
void qemu_plugin_reset(qemu_plugin_id_t id, void (*done)(qemu_plugin_id_t id));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
unsigned int qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);
#if ARMOPT_PLUGIN_API == 1
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *counter, uint64_t add);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
#else
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t length);
#endif

EXPORT int qemu_plugin_version = ARMOPT_PLUGIN_API;

enum { AARCH64_CLOSE = 57, START = -770001, STOP = -770002, WARM = -770003, LINE_SHIFT = 6, MAX_INSNS = 512, SLOTS = 1 << 18 };

typedef struct Block {
    uint64_t address, executions, before;
    uint32_t length;
    uint32_t words[];
} Block;

typedef struct Cache {
    uint64_t sets, misses, writebacks;
    unsigned ways;
    uint64_t *line;   /* sets x ways, most recently used first */
    uint8_t *dirty;
} Cache;

static Block *slots[SLOTS];
static uint64_t blocks, loaded, stored;
static Cache caches[2];
static int levels, simulating, counting;
static char out_path[4096];

static Block *find_block(uint64_t address, const uint32_t *words, uint32_t length)
{
    /* QEMU may translate a block again; the same address and words must go on in the same counter. */
    uint64_t slot = (address * 0x9E3779B97F4A7C15ull) >> 46;
    for (; slots[slot]; slot = (slot + 1) & (SLOTS - 1)) {
        Block *b = slots[slot];
        if (b->address == address && b->length == length && !memcmp(b->words, words, 4 * length))
            return b;
    }
    if (++blocks >= SLOTS - 1) {
        fprintf(stderr, "armopt plugin: more than %d blocks\n", SLOTS);
        exit(70);
    }
    Block *b = calloc(1, sizeof(Block) + 4 * length);
    b->address = address;
    b->length = length;
    memcpy(b->words, words, 4 * length);
    return slots[slot] = b;
}

static void touch(int level, uint64_t line, bool store)
{
    if (level >= levels)
        return;
    Cache *c = &caches[level];
    uint64_t *set = c->line + (line % c->sets) * c->ways;
    uint8_t *dirty = c->dirty + (line % c->sets) * c->ways;
    unsigned way = 0;
    while (way < c->ways && set[way] != line)
        way++;
    bool hit = way < c->ways, was_dirty = hit && dirty[way];
    if (!hit) {
        way = c->ways - 1;
        c->misses++;
        if (set[way] != UINT64_MAX && dirty[way]) {
            c->writebacks++;
            touch(level + 1, set[way], true);
        }
        touch(level + 1, line, false);
    }
    memmove(set + 1, set, way * sizeof *set);
    memmove(dirty + 1, dirty, way);
    set[0] = line;
    dirty[0] = was_dirty || store;
}

static void on_memory(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    if (!simulating)
        return;
    bool store = qemu_plugin_mem_is_store(info);
    uint64_t size = 1u << qemu_plugin_mem_size_shift(info);
    if (counting)
        *(store ? &stored : &loaded) += size;
    uint64_t first = address >> LINE_SHIFT, last = (address + size - 1) >> LINE_SHIFT;
    touch(0, first, store);
    if (last != first)
        touch(0, last, store);
}

static void on_execute(unsigned int vcpu, void *data)
{
    ((Block *)data)->executions++;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    uint32_t words[MAX_INSNS], length = qemu_plugin_tb_n_insns(tb);
    if (length > MAX_INSNS)
        length = MAX_INSNS;
    for (uint32_t i = 0; i < length; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
#if ARMOPT_PLUGIN_API == 1
        memcpy(&words[i], qemu_plugin_insn_data(insn), 4);
#else
        qemu_plugin_insn_data(insn, &words[i], 4);
#endif
        bool memory = ((words[i] >> 25) & 5) == 4; /* Arm ARM C4.1: op0 = x1x0, loads and stores */
        if (levels && memory)
            qemu_plugin_register_vcpu_mem_cb(insn, on_memory, CB_NO_REGS, MEM_RW, NULL);
    }
    Block *block = find_block(qemu_plugin_tb_vaddr(tb), words, length);
#if ARMOPT_PLUGIN_API == 1
    qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &block->executions, 1);
    (void)on_execute;
#else
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_execute, CB_NO_REGS, block);
#endif
}

static void start(void)
{
    for (int i = 0; i < SLOTS; i++)
        if (slots[i])
            slots[i]->before = slots[i]->executions;
    loaded = stored = 0;
    for (int i = 0; i < levels; i++)
        caches[i].misses = caches[i].writebacks = 0;
    simulating = counting = 1;
}

static void stop(void)
{
    simulating = counting = 0;
    FILE *f = fopen(out_path, "wb");
    if (!f) {
        perror(out_path);
        exit(70);
    }
    uint64_t header[12] = {0x31544e434d5241ull /* "ARMCNT1" */, loaded, stored, levels};
    for (int i = 0; i < levels; i++) {
        header[4 + 2 * i] = caches[i].misses;
        header[5 + 2 * i] = caches[i].writebacks;
    }
    fwrite(header, sizeof header, 1, f);
    for (int i = 0; i < SLOTS; i++) {
        Block *b = slots[i];
        if (!b || b->executions == b->before)
            continue;
        uint64_t head[3] = {b->address, b->executions - b->before, b->length};
        fwrite(head, sizeof head, 1, f);
        fwrite(b->words, 4, b->length, f);
    }
    if (fclose(f)) {
        perror(out_path);
        exit(70);
    }
}

static void on_reset(qemu_plugin_id_t id)
{
    (void)id;
}

static void on_syscall(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                       uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    if (number != AARCH64_CLOSE)
        return;
    int descriptor = (int)a1; /* the register holds 32 bits of it: compare as int */
    if (descriptor == WARM)
        simulating = 1; /* fills the caches, so that the counted inference finds them as in a steady state */
    else if (descriptor == START)
        start();
    else if (descriptor == STOP) {
        stop();
        qemu_plugin_reset(id, on_reset); /* the samples that follow run without callbacks */
    }
}

static int add_cache(const char *text)
{
    Cache *c = &caches[levels];
    unsigned kib;
    if (levels == 2 || sscanf(text, "%u:%u", &kib, &c->ways) != 2 || !kib || !c->ways)
        return -1;
    c->sets = ((uint64_t)kib * 1024 >> LINE_SHIFT) / c->ways;
    c->line = malloc(c->sets * c->ways * sizeof *c->line);
    c->dirty = calloc(c->sets * c->ways, 1);
    memset(c->line, 0xff, c->sets * c->ways * sizeof *c->line);
    levels++;
    return 0;
}

/* Arguments: out=FILE, and cache=KIB:WAYS once per level, the first level first. */
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4) && strlen(argv[i]) < sizeof out_path)
            strcpy(out_path, argv[i] + 4);
        else if (strncmp(argv[i], "cache=", 6) || add_cache(argv[i] + 6))
            return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    return out_path[0] ? 0 : -1;
}
