/*
 * What a driver implements; private to this folder. Each verb does what store.h says of the function of
 * its name. The front door (store.c) has checked the arguments before; err is never NULL, and a verb
 * that returns an error has set it. Outputs are written on success only, but for pages: a verb is given an empty
 * one to fill, and the front door releases it after an error.
 *
 * A new driver: copy store_memory.c's outline, implement the verbs, name it in registry.c, pass
 * tests/contract. The decisions that all drivers share are in store_rules.h.
 */
#ifndef HERALD_STORE_DRIVER_H
#define HERALD_STORE_DRIVER_H

#include "store.h"
#include "store_records.h"

struct driver_options {
	const char *url;  /* whole */
	const char *rest; /* behind "scheme:" */
	bool read_only_schema;
	const char *messages_key, *scheduler_key; /* as in store_options; may be NULL */
	usec_t (*clock)(void); /* never NULL */
};

/* The verbs of store_records.h. */
struct record_verbs {
	int (*export_messages)(void *session, int64_t after, uint32_t limit, struct record_page *ret,
	                       struct error *err);
	int (*import_messages)(void *session, struct message_record *items, size_t n, struct error *err);
	int (*export_runs)(void *session, int64_t after, uint32_t limit, struct run_record_page *ret,
	                   struct error *err);
	int (*import_runs)(void *session, const struct run_record *items, size_t n, struct error *err);
	int (*export_jobs)(void *session, int64_t after, uint32_t limit, struct job_record_page *ret,
	                   struct error *err);
	int (*import_jobs)(void *session, const struct job_record *items, size_t n, struct error *err);
	int (*export_state)(void *session, struct state_record *ret, struct error *err);
	int (*import_state)(void *session, const struct state_record *state, struct error *err);
	int (*note_get)(void *session, const char *name, struct arena *arena, const char **ret,
	                struct error *err);
	int (*note_set)(void *session, const char *name, const char *text, struct error *err);
};

/* The verbs of store.h. Drivers declare theirs by these types. */
typedef int insert_verb(void *session, struct insert_group *groups, size_t n, struct error *err);
typedef int claim_verb(void *session, const struct claim_request *r, struct claim_batch *ret,
                       struct error *err);
typedef int settle_verb(void *session, struct settlement *s, size_t n, struct settle_result *ret,
                        struct error *err);
typedef int renew_verb(void *session, const struct lease_ref *refs, size_t n, usec_t lease,
                       size_t *ret_renewed, struct error *err);
typedef int recover_verb(void *session, const struct recover_request *r, struct recover_result *ret,
                         struct error *err);
typedef int get_verb(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err);
typedef int list_verb(void *session, const struct list_query *q, struct message_page *ret, struct error *err);
typedef int counts_verb(void *session, struct store_counts *ret, struct error *err);
typedef int ahead_verb(void *session, const struct ahead_query *q, uint32_t *ret, struct error *err);
typedef int attempts_verb(void *session, int64_t id, struct attempt_page *ret, struct error *err);
typedef int cancel_verb(void *session, int64_t id, struct arena *arena, struct message *ret,
                        struct error *err);
typedef int replay_verb(void *session, int64_t id, struct error *err);
typedef int replay_some_verb(void *session, uint32_t limit, uint32_t *ret, struct error *err);
typedef int scheduler_init_verb(void *session, const struct scheduler_defaults *d, struct scheduler *ret,
                                struct error *err);
typedef int scheduler_get_verb(void *session, struct scheduler *ret, struct error *err);
typedef int scheduler_change_verb(void *session, const struct scheduler_change *change, struct scheduler *ret,
                                  bool *ret_changed, struct error *err);
typedef int runs_verb(void *session, int64_t before, uint64_t offset, uint32_t limit, struct run_page *ret,
                      struct error *err);
typedef int jobs_verb(void *session, int64_t before, uint64_t offset, uint32_t limit, struct job_page *ret,
                      struct error *err);
typedef int node_seen_verb(void *session, const struct node_report *r, struct error *err);
typedef int nodes_verb(void *session, struct node_page *ret, struct error *err);

struct store_driver {
	const char *name;
	unsigned capabilities; /* enum store_capability */
	int schema;            /* the version that this binary needs */

	/* The store: used by all threads at once. */
	int (*open)(void **ret, const struct driver_options *o, struct error *err);
	void (*close)(void *db);
	int (*schema_found)(const void *db);

	/* A session: one thread at a time. */
	int (*session_open)(void *db, void **ret, struct error *err);
	void (*session_close)(void *session);
	int (*ping)(void *session, struct error *err);
	int (*now)(void *session, usec_t *ret, struct error *err);

	insert_verb *insert;
	claim_verb *claim;
	settle_verb *settle;
	renew_verb *renew;
	recover_verb *recover;

	get_verb *get;
	list_verb *list;
	counts_verb *counts;
	ahead_verb *ahead;
	attempts_verb *attempts;
	cancel_verb *cancel;
	replay_verb *replay;
	replay_some_verb *replay_some;

	scheduler_init_verb *scheduler_init;
	scheduler_get_verb *scheduler_get;
	scheduler_change_verb *scheduler_change;
	runs_verb *runs;
	jobs_verb *jobs;

	/* The front door sorts what nodes() gives; at most NODES_LISTED. */
	node_seen_verb *node_seen;
	nodes_verb *nodes;

	const struct record_verbs *records; /* NULL: it keeps none of its own */
};

/* The driver and its session behind a session of the front door, for verbs that are not in store.c; opens it
 * if need be. */
must_check int store_session_use(struct store_session *c, const struct store_driver **ret_driver,
                                 void **ret_session, struct error *err);

/* The value of `call`, an expression that fills a page of its own, named `page`: the page is *ret's then, or
 * released after an error. */
#define INTO_PAGE(ret, page, release, call)                                                        \
	__extension__({                                                                            \
		__typeof__(*(ret)) page = {.n = 0};                                                \
		int page_rc_ = (call);                                                             \
		if (page_rc_)                                                                      \
			release(&page);                                                            \
		else                                                                               \
			*(ret) = page;                                                             \
		page_rc_;                                                                          \
	})

/* registry.c. ERR_CONFIG when this build has none for the URL; *ret_rest points into url. */
must_check int store_driver_find(const char *url, const struct store_driver **ret, const char **ret_rest,
                                 struct error *err);

extern const struct store_driver store_driver_http;
extern const struct store_driver store_driver_memory;
extern const struct store_driver store_driver_sqlite;
extern const struct store_driver store_driver_postgres;
extern const struct store_driver store_driver_mysql;
extern const struct store_driver store_driver_mongo;

#endif
