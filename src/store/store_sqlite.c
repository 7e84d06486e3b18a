/*
 * The SQLite driver: opening, owning and closing the file.
 *
 * One process owns a file, by an flock() on it: then leases of other owners are dead for certain, and
 * all writes come from one connection. SQLite's own locks are of the fcntl kind, which the kernel
 * drops as soon as the process closes *any* descriptor of the file; so the descriptor that holds our
 * flock is opened before SQLite opens the file and closed after it has closed it.
 *
 * Known limits: network file systems (no shared memory for the log); a list by phone number reads all
 * messages of the status asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "store_sqlite.h"

static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return xstrdup(".");
	return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

/* A new file is only there for good when its directory entry is on the disk. */
static void sync_directory(const char *path)
{
	char *dir cleanup(free_ptr) = directory_of(path);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

static int explain_open(const char *path, int errnum, bool create, struct error *err)
{
	char *dir cleanup(free_ptr) = directory_of(path);

	switch (errnum) {
	case ENOENT:
		if (!create && !access(dir, F_OK))
			return error_set(err, ERR_CONFIG, "there is no such file: run `herald migrate`");
		return error_set(err, ERR_CONFIG, "the directory %s does not exist", dir);
	case ENOTDIR:
		return error_set(err, ERR_CONFIG, "%s is not a directory", dir);
	case EISDIR:
		return error_set(err, ERR_CONFIG, "it is a directory");
	case EACCES:
	case EPERM:
		return error_set(err, ERR_CONFIG, "no permission to read and write it");
	case EROFS:
		return error_set(err, ERR_CONFIG, "it is on a read-only file system");
	case ENOSPC:
	case EDQUOT:
		return error_set(err, ERR_CONFIG, "the disk is full");
	default:
		return error_errno(err, ERR_CONFIG, errnum, "cannot open it");
	}
}

/* Opens the file and makes it this process's own. */
static int own_file(struct sq_db *db, bool create, struct error *err)
{
	struct stat st;

	db->lock_fd = open(db->path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
	if (db->lock_fd < 0)
		return explain_open(db->path, errno, create, err);
	if (fstat(db->lock_fd, &st) || !S_ISREG(st.st_mode))
		return error_set(err, ERR_CONFIG, "it is not a regular file");
	if (flock(db->lock_fd, LOCK_EX | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			return error_set(err, ERR_CONFIG, "it is in use by another herald process");
		return error_errno(err, ERR_CONFIG, errno, "cannot lock it");
	}
	if (!st.st_size)
		sync_directory(db->path);
	return OK;
}

static void init_once(void)
{
	/* Its books on memory take a lock for every allocation; nobody reads them. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static void db_close(void *arg)
{
	struct sq_db *db = arg;

	/* Being the last connection, it moves the log into the database and removes it. */
	sq_close(&db->writer);
	if (db->lock_fd >= 0)
		close(db->lock_fd);
	local_nodes_release(&db->nodes);
	pthread_mutex_destroy(&db->lock);
	pthread_cond_destroy(&db->moved);
	free(db->path);
	free(db);
}

static int db_open(void **ret, const struct driver_options *o, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct sq_db *db;
	int rc;

	if (!o->rest[0])
		return error_set(err, ERR_CONFIG, "the path behind sqlite: is missing");
	pthread_once(&once, init_once);
	db = xcalloc(1, sizeof(*db));
	db->path = xstrdup(o->rest);
	db->lock_fd = -1;
	db->clock = o->clock;
	local_nodes_init(&db->nodes);
	pthread_mutex_init(&db->lock, NULL);
	pthread_cond_init(&db->moved, NULL);

	if ((rc = own_file(db, !o->read_only_schema, err)) ||
	    (rc = sq_open(&db->writer, db->path, true, err)) ||
	    (rc = sq_migrate(&db->writer, o->read_only_schema, &db->schema_found, err))) {
		err->code = ERR_CONFIG;
		error_prefix(err, "database %s", db->path);
		db_close(db);
		return ERR_CONFIG;
	}
	*ret = db;
	return OK;
}

static int db_schema_found(const void *arg)
{
	return ((const struct sq_db *)arg)->schema_found;
}

static int session_open(void *arg, void **ret, struct error *err)
{
	struct sq_session *s = xcalloc(1, sizeof(*s));

	(void)err;
	s->db = arg;
	*ret = s;
	return OK;
}

static void session_close(void *arg)
{
	struct sq_session *s = arg;

	sq_close(&s->reader);
	free(s);
}

static int ping(void *arg, struct error *err)
{
	struct sq_conn *c;
	sqlite3_stmt *st cleanup(sq_reset) = NULL;
	int rc = sq_reader(arg, &c, err);

	if (rc)
		return rc;
	/* Reads a page of the file, which a mere "SELECT 1" would not. */
	st = sq_stmt(c, "SELECT last_id FROM herald_totals", err);
	rc = st ? sq_row(c, st, err) : err->code;
	return rc < 0 ? rc : OK;
}

static int now(void *arg, usec_t *ret, struct error *err)
{
	(void)err;
	*ret = ((struct sq_session *)arg)->db->clock();
	return OK;
}

static int node_seen(void *session, const struct node_report *r, struct error *err)
{
	struct sq_db *db = ((struct sq_session *)session)->db;

	(void)err;
	local_nodes_seen(&db->nodes, r, db->clock());
	return OK;
}

static int nodes(void *session, struct node_page *ret, struct error *err)
{
	struct sq_db *db = ((struct sq_session *)session)->db;

	(void)err;
	local_nodes_list(&db->nodes, db->clock(), ret);
	return OK;
}

const struct store_driver store_driver_sqlite = {
	.name = "sqlite",
	.capabilities = STORE_EXCLUSIVE | STORE_DURABLE | STORE_LOCAL_CLOCK,
	.schema = SQ_SCHEMA,
	.open = db_open,
	.close = db_close,
	.schema_found = db_schema_found,
	.session_open = session_open,
	.session_close = session_close,
	.ping = ping,
	.now = now,
	.insert = sq_insert,
	.claim = sq_claim,
	.settle = sq_settle,
	.renew = sq_renew,
	.recover = sq_recover,
	.get = sq_get,
	.list = sq_list,
	.counts = sq_counts,
	.ahead = sq_ahead,
	.attempts = sq_attempts,
	.cancel = sq_cancel,
	.replay = sq_replay,
	.replay_some = sq_replay_some,
	.scheduler_init = sq_scheduler_init,
	.scheduler_get = sq_scheduler_get,
	.scheduler_change = sq_scheduler_change,
	.runs = sq_runs,
	.jobs = sq_jobs,
	.node_seen = node_seen,
	.nodes = nodes,
	.records = &sq_record_verbs,
};
