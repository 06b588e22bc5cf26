/* The limit that klpfs's file system is measured against: the same tree served by libfuse's low-level API, in C.
 *
 *   fs_server MOUNTPOINT PATCHES FUNCTIONS
 *
 * MOUNTPOINT/shop/sys/kernel/livepatch/patch_000/{enabled,transition,force,vmlinux/{patched,func_0000,1 ...}}; names and
 * attributes are cached as long as klpfs lets them be: those of a service, a patch and an object are asked for each
 * time. It does no more than it must: nothing is ever removed, no errors.
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct node { int parent, mode, count, room, *children; char name[24]; int value, may_go; };

static struct node *nodes;
static int last, room;
static const double valid = 3600;

static int add(int parent, const char *name, int mode)
{
	if (last + 2 > room) {
		room = room ? room * 2 : 1024;
		nodes = realloc(nodes, room * sizeof *nodes);
	}
	struct node *n = &nodes[++last];
	memset(n, 0, sizeof *n);
	n->parent = parent; n->mode = mode; n->value = 1;
	snprintf(n->name, sizeof n->name, "%s", name);
	if (parent) {
		struct node *p = &nodes[parent];
		if (p->count == p->room) {
			p->room = p->room ? p->room * 2 : 4;
			p->children = realloc(p->children, p->room * sizeof(int));
		}
		p->children[p->count++] = last;
	}
	return last;
}

static int by_name(const void *a, const void *b) { return strcmp(nodes[*(int *)a].name, nodes[*(int *)b].name); }
static int is_name(const void *key, const void *b) { return strcmp(key, nodes[*(int *)b].name); }

static void attributes(struct stat *s, int i)
{
	struct node *n = &nodes[i];
	memset(s, 0, sizeof *s);
	s->st_ino = i; s->st_mode = n->mode; s->st_nlink = S_ISDIR(n->mode) ? 2 : 1;
	s->st_size = S_ISDIR(n->mode) ? 0 : 4096; s->st_blksize = 4096;
}

static void entry(struct fuse_entry_param *e, int i)
{
	memset(e, 0, sizeof *e);
	e->ino = i; e->attr_timeout = valid; e->entry_timeout = nodes[i].may_go ? 0 : valid;
	attributes(&e->attr, i);
}

static void init(void *data, struct fuse_conn_info *c) { c->want |= c->capable & (FUSE_CAP_READDIRPLUS | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ATOMIC_O_TRUNC); }

static void lookup(fuse_req_t r, fuse_ino_t parent, const char *name)
{
	struct node *p = &nodes[parent];
	int *found = bsearch(name, p->children, p->count, sizeof(int), is_name);
	struct fuse_entry_param e;
	if (!found) { fuse_reply_err(r, ENOENT); return; }
	entry(&e, *found);
	fuse_reply_entry(r, &e);
}

static void getattr(fuse_req_t r, fuse_ino_t i, struct fuse_file_info *f) { struct stat s; attributes(&s, i); fuse_reply_attr(r, &s, valid); }
static void setattr(fuse_req_t r, fuse_ino_t i, struct stat *a, int what, struct fuse_file_info *f) { getattr(r, i, f); }
static void open_(fuse_req_t r, fuse_ino_t i, struct fuse_file_info *f) { f->direct_io = 1; f->noflush = 1; fuse_reply_open(r, f); }
static void release(fuse_req_t r, fuse_ino_t i, struct fuse_file_info *f) { fuse_reply_err(r, 0); }

static void read_(fuse_req_t r, fuse_ino_t i, size_t size, off_t at, struct fuse_file_info *f)
{
	char text[16];
	int n = sprintf(text, "%d\n", nodes[i].value);
	fuse_reply_buf(r, at < n ? text + at : NULL, at < n ? n - at : 0);
}

static void write_(fuse_req_t r, fuse_ino_t i, const char *data, size_t size, off_t at, struct fuse_file_info *f) { nodes[i].value = data[0] == '1'; fuse_reply_write(r, size); }

static void list(fuse_req_t r, fuse_ino_t i, size_t size, off_t at, int plus)
{
	struct node *n = &nodes[i];
	char *out = malloc(size);
	size_t used = 0;
	for (int k = at; k < n->count + 2; k++) {
		int child = k < 2 ? (int)i : n->children[k - 2];
		const char *name = k == 0 ? "." : k == 1 ? ".." : nodes[child].name;
		struct fuse_entry_param e;
		entry(&e, child);
		if (k < 2 || nodes[child].may_go) e.ino = 0;
		size_t more = plus ? fuse_add_direntry_plus(r, out + used, size - used, name, &e, k + 1) : fuse_add_direntry(r, out + used, size - used, name, &e.attr, k + 1);
		if (more > size - used) break;
		used += more;
	}
	fuse_reply_buf(r, out, used);
	free(out);
}

static void readdir_(fuse_req_t r, fuse_ino_t i, size_t size, off_t at, struct fuse_file_info *f) { list(r, i, size, at, 0); }
static void readdirplus(fuse_req_t r, fuse_ino_t i, size_t size, off_t at, struct fuse_file_info *f) { list(r, i, size, at, 1); }

static const struct fuse_lowlevel_ops operations = { .init = init, .lookup = lookup, .getattr = getattr, .setattr = setattr, .open = open_, .read = read_,
	.write = write_, .release = release, .readdir = readdir_, .readdirplus = readdirplus };

int main(int argc, char **argv)
{
	const char *top[] = { "shop", "sys", "kernel", "livepatch" };
	int dir = S_IFDIR | 0755, file = S_IFREG, at = add(0, "", dir);
	char name[32];
	for (int i = 0; i < 4; i++) { at = add(at, top[i], dir); nodes[at].may_go = !i; }
	for (int i = 0; i < atoi(argv[2]); i++) {
		snprintf(name, sizeof name, "patch_%03d", i);
		int patch = add(at, name, dir);
		nodes[patch].may_go = 1;
		add(patch, "enabled", file | 0644); add(patch, "force", file | 0200); add(patch, "transition", file | 0444);
		int object = add(patch, "vmlinux", dir);
		nodes[object].may_go = 1;
		add(object, "patched", file | 0444);
		for (int k = 0; k < atoi(argv[3]); k++) {
			snprintf(name, sizeof name, "func_%04d,1", k);
			add(object, name, dir);
		}
	}
	for (int i = 1; i <= last; i++) if (nodes[i].count) qsort(nodes[i].children, nodes[i].count, sizeof(int), by_name);
	char *options[] = { "fs_server", "-o", "default_permissions,allow_other,nosuid,nodev,noexec,fsname=fs_server" };
	struct fuse_args arguments = FUSE_ARGS_INIT(3, options);
	struct fuse_session *session = fuse_session_new(&arguments, &operations, sizeof operations, NULL);
	if (!session || fuse_set_signal_handlers(session) || fuse_session_mount(session, argv[1])) return 1;
	int status = fuse_session_loop(session);
	fuse_session_unmount(session);
	return status < 0;
}
