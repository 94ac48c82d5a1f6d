/* A QEMU TCG plugin that counts what inferences execute, operator by operator.
 *
 * Between two marker system calls (close() of descriptors that can't exist) it counts how often each translation
 * block runs and, if cache sizes are given, simulates up to three levels of data cache (another marker ahead of the
 * warm-up inference starts the simulation alone). A segment begins at the first marker and wherever the runtime starts
 * an operator: at the addresses given as `op=`, and at each indirect call inside the range given as `calls=`. Both are
 * offsets into the runtime's library; a marker tells where that lies. The second marker writes one file, FILE.0 for the
 * first pair of markers, FILE.1 for the next; numbers are 64-bit words:
 *   "ARMCNT2", levels, blocks, segments;
 *   per block: address, instructions, then their words (32 bits each);
 *   per segment: offset of the operator's start (0: the first marker), bytes loaded, bytes stored,
 *     per level {lines missed, lines written back}, pairs, then {block, executions} each.
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

enum {
    AARCH64_CLOSE = 57,
    START = -770001,
    STOP = -770002,
    WARM = -770003,
    BASE = -770004, /* second argument: where the runtime's library lies */
    END = -770005,  /* nothing will be counted any more */
    LINE_SHIFT = 6,
    MAX_INSNS = 512,
    MAX_LEVELS = 3,
    MAX_STARTS = 16,
    SLOTS = 1 << 18
};
static const uint32_t BLR = 0xD63F0000, BLR_MASK = 0xFFFFFC1F;

typedef struct Block {
    uint64_t address, executions, before;
    uint32_t index, length; /* index: in the file, 1 + position; 0 until it is written */
    uint32_t words[];
} Block;

typedef struct Cache {
    uint64_t sets, mask, misses, writebacks; /* mask: sets - 1 where sets is a power of two, else 0 */
    unsigned ways;
    uint64_t *line; /* sets x ways, most recently used first */
    uint8_t *dirty;
} Cache;

typedef struct Words { /* a file's part in the making */
    uint64_t *at;
    size_t length, room;
} Words;

static Block *slots[SLOTS], *order[SLOTS];
static uint32_t blocks;
static uint64_t loaded, stored;
static Cache caches[MAX_LEVELS];
static int levels, simulating, counting, files;
static uint64_t base, starts[MAX_STARTS], calls_from, calls_to, segment_start;
static int start_count;
static Words block_words, segment_words;
static uint64_t written_blocks, written_segments;
static char out_path[4096];

static void fail(const char *what)
{
    perror(what);
    exit(70);
}

static void put(Words *w, uint64_t value)
{
    if (w->length == w->room) {
        w->room = w->room ? 2 * w->room : 1 << 16;
        w->at = realloc(w->at, w->room * sizeof *w->at);
        if (!w->at)
            fail("armopt plugin");
    }
    w->at[w->length++] = value;
}

static Block *find_block(uint64_t address, const uint32_t *words, uint32_t length)
{
    /* QEMU may translate a block again; the same address and words must go on in the same counter. */
    uint64_t slot = (address * 0x9E3779B97F4A7C15ull) >> 46;
    for (; slots[slot]; slot = (slot + 1) & (SLOTS - 1)) {
        Block *b = slots[slot];
        if (b->address == address && b->length == length && !memcmp(b->words, words, 4 * length))
            return b;
    }
    if (blocks >= SLOTS - 1) {
        fprintf(stderr, "armopt plugin: more than %d blocks\n", SLOTS);
        exit(70);
    }
    Block *b = calloc(1, sizeof(Block) + 4 * length);
    if (!b)
        fail("armopt plugin");
    b->address = address;
    b->length = length;
    memcpy(b->words, words, 4 * length);
    order[blocks++] = b;
    return slots[slot] = b;
}

static uint64_t set_of(const Cache *c, uint64_t line)
{
    return c->mask ? line & c->mask : line % c->sets;
}

static void touch(int level, uint64_t line, bool store)
{
    if (level >= levels)
        return;
    Cache *c = &caches[level];
    uint64_t first = set_of(c, line) * c->ways;
    uint64_t *set = c->line + first;
    uint8_t *dirty = c->dirty + first;
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
    for (unsigned i = way; i > 0; i--) {
        set[i] = set[i - 1];
        dirty[i] = dirty[i - 1];
    }
    set[0] = line;
    dirty[0] = was_dirty || store;
}

static void touch_first(uint64_t line, bool store)
{
    /* Most accesses find the line that their set was last asked for. */
    Cache *c = &caches[0];
    uint64_t first = set_of(c, line) * c->ways;
    if (c->line[first] == line)
        c->dirty[first] |= store;
    else
        touch(0, line, store);
}

static void on_memory(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    if (!simulating)
        return;
    bool store = qemu_plugin_mem_is_store(info);
    uint64_t size = 1u << qemu_plugin_mem_size_shift(info);
    *(store ? &stored : &loaded) += size;
    uint64_t first = address >> LINE_SHIFT, last = (address + size - 1) >> LINE_SHIFT;
    touch_first(first, store);
    if (last != first)
        touch_first(last, store);
}

static void write_block(Block *b)
{
    b->index = ++written_blocks;
    put(&block_words, b->address);
    put(&block_words, b->length);
    for (uint32_t i = 0; i < b->length; i += 2)
        put(&block_words, b->words[i] | (i + 1 < b->length ? (uint64_t)b->words[i + 1] << 32 : 0));
}

/* What ran since the last call becomes a segment; the next one begins. */
static void end_segment(uint64_t next_start)
{
    put(&segment_words, segment_start);
    put(&segment_words, loaded);
    put(&segment_words, stored);
    for (int i = 0; i < levels; i++) {
        put(&segment_words, caches[i].misses);
        put(&segment_words, caches[i].writebacks);
        caches[i].misses = caches[i].writebacks = 0;
    }
    size_t pairs_at = segment_words.length;
    put(&segment_words, 0);
    uint64_t pairs = 0;
    for (uint32_t i = 0; i < blocks; i++) {
        Block *b = order[i];
        uint64_t executions = b->executions - b->before;
        if (!executions)
            continue;
        b->before = b->executions;
        if (!b->index)
            write_block(b);
        put(&segment_words, b->index - 1);
        put(&segment_words, executions);
        pairs++;
    }
    segment_words.at[pairs_at] = pairs;
    written_segments++;
    loaded = stored = 0;
    segment_start = next_start;
}

static void on_operator(unsigned int vcpu, void *offset)
{
    if (counting)
        end_segment((uint64_t)offset);
}

static void on_execute(unsigned int vcpu, void *data)
{
    ((Block *)data)->executions++;
}

static bool starts_operator(uint64_t address, const uint32_t *words, uint32_t length)
{
    if (!base || address < base)
        return false;
    uint64_t offset = address - base;
    for (int i = 0; i < start_count; i++)
        if (offset == starts[i])
            return true;
    return offset >= calls_from && offset < calls_to && (words[length - 1] & BLR_MASK) == BLR;
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
    uint64_t address = qemu_plugin_tb_vaddr(tb);
    Block *block = find_block(address, words, length);
    if (starts_operator(address, words, length))
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_operator, CB_NO_REGS, (void *)(address - base));
#if ARMOPT_PLUGIN_API == 1
    qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &block->executions, 1);
    (void)on_execute;
#else
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_execute, CB_NO_REGS, block);
#endif
}

static void start(void)
{
    for (uint32_t i = 0; i < blocks; i++) {
        order[i]->before = order[i]->executions;
        order[i]->index = 0;
    }
    loaded = stored = segment_start = written_blocks = written_segments = 0;
    block_words.length = segment_words.length = 0;
    for (int i = 0; i < levels; i++)
        caches[i].misses = caches[i].writebacks = 0;
    simulating = counting = 1;
}

static void stop(void)
{
    end_segment(0);
    simulating = counting = 0;
    char path[sizeof out_path + 16];
    snprintf(path, sizeof path, "%s.%d", out_path, files++);
    FILE *f = fopen(path, "wb");
    if (!f)
        fail(path);
    uint64_t header[4] = {0x32544e434d5241ull /* "ARMCNT2" */, levels, written_blocks, written_segments};
    fwrite(header, sizeof header, 1, f);
    fwrite(block_words.at, sizeof *block_words.at, block_words.length, f);
    fwrite(segment_words.at, sizeof *segment_words.at, segment_words.length, f);
    if (fclose(f))
        fail(path);
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
    switch ((int)a1) { /* the register holds 32 bits of it: compare as int */
    case BASE: base = a2; break;
    case WARM: simulating = 1; break; /* fills the caches, so that the counted inference finds them in a steady state */
    case START: start(); break;
    case STOP: stop(); break;
    case END: qemu_plugin_reset(id, on_reset); break; /* the samples that follow run without callbacks */
    }
}

static int add_cache(const char *text)
{
    Cache *c = &caches[levels];
    unsigned kib;
    if (levels == MAX_LEVELS || sscanf(text, "%u:%u", &kib, &c->ways) != 2 || !kib || !c->ways)
        return -1;
    c->sets = ((uint64_t)kib * 1024 >> LINE_SHIFT) / c->ways;
    c->mask = c->sets & (c->sets - 1) ? 0 : c->sets - 1;
    c->line = malloc(c->sets * c->ways * sizeof *c->line);
    c->dirty = calloc(c->sets * c->ways, 1);
    memset(c->line, 0xff, c->sets * c->ways * sizeof *c->line);
    levels++;
    return 0;
}

static int add_start(const char *text)
{
    unsigned long long offset;
    if (start_count == MAX_STARTS || sscanf(text, "%llx", &offset) != 1)
        return -1;
    starts[start_count++] = offset;
    return 0;
}

static int set_calls(const char *text)
{
    unsigned long long from, to;
    if (sscanf(text, "%llx:%llx", &from, &to) != 2)
        return -1;
    calls_from = from;
    calls_to = to;
    return 0;
}

/* Arguments: out=FILE; cache=KIB:WAYS once per level, the first level first; op=HEX, any number; calls=HEX:HEX. */
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
    int wrong = 0;
    for (int i = 0; i < argc && !wrong; i++) {
        if (!strncmp(argv[i], "out=", 4) && strlen(argv[i]) < sizeof out_path)
            strcpy(out_path, argv[i] + 4);
        else if (!strncmp(argv[i], "cache=", 6))
            wrong = add_cache(argv[i] + 6);
        else if (!strncmp(argv[i], "op=", 3))
            wrong = add_start(argv[i] + 3);
        else if (!strncmp(argv[i], "calls=", 6))
            wrong = set_calls(argv[i] + 6);
        else
            wrong = -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    return out_path[0] ? wrong : -1;
}
