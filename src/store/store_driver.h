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

	int (*insert)(void *session, struct insert_group *groups, size_t n, struct error *err);
	int (*claim)(void *session, const struct claim_request *r, struct claim_batch *ret,
	             struct error *err);
	int (*settle)(void *session, struct settlement *s, size_t n, struct settle_result *ret,
	              struct error *err);
	int (*renew)(void *session, const struct lease_ref *refs, size_t n, usec_t lease,
	             size_t *ret_renewed, struct error *err);
	int (*recover)(void *session, const struct recover_request *r, struct recover_result *ret,
	               struct error *err);

	int (*get)(void *session, int64_t id, struct arena *arena, struct message *ret, struct error *err);
	int (*list)(void *session, const struct list_query *q, struct message_page *ret,
	            struct error *err);
	int (*counts)(void *session, struct store_counts *ret, struct error *err);
	int (*ahead)(void *session, const struct ahead_query *q, uint32_t *ret, struct error *err);
	int (*attempts)(void *session, int64_t id, struct attempt_page *ret, struct error *err);
	int (*cancel)(void *session, int64_t id, struct arena *arena, struct message *ret,
	              struct error *err);
	int (*replay)(void *session, int64_t id, struct error *err);
	int (*replay_some)(void *session, uint32_t limit, uint32_t *ret, struct error *err);

	int (*scheduler_init)(void *session, const struct scheduler_defaults *d, struct scheduler *ret,
	                      struct error *err);
	int (*scheduler_get)(void *session, struct scheduler *ret, struct error *err);
	int (*scheduler_change)(void *session, const struct scheduler_change *change,
	                        struct scheduler *ret, bool *ret_changed, struct error *err);
	int (*runs)(void *session, int64_t before, uint64_t offset, uint32_t limit, struct run_page *ret,
	            struct error *err);

	int (*jobs)(void *session, int64_t before, uint64_t offset, uint32_t limit, struct job_page *ret,
	            struct error *err);

	/* The front door sorts what nodes() gives; at most NODES_LISTED. */
	int (*node_seen)(void *session, const struct node_report *r, struct error *err);
	int (*nodes)(void *session, struct node_page *ret, struct error *err);

	const struct record_verbs *records; /* NULL: it keeps none of its own */
};

/* The driver and its session behind a session of the front door, for verbs that are not in store.c; opens it
 * if need be. */
must_check int store_session_use(struct store_session *c, const struct store_driver **ret_driver,
                                 void **ret_session, struct error *err);

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
