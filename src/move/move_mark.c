#include "move_mark.h"

#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "move.h"

#define NOTE "move"

static const char *const roles[] = {
	[ROLE_SOURCE] = "source",
	[ROLE_LEFT] = "left",
	[ROLE_TARGET] = "target",
};

/* "ROLE TOKEN RUNNING AT AFTER PEER" */
static bool parse(const char *text, struct move_mark *ret)
{
	struct move_mark m = {.role = ROLE_NONE};
	long long at, after;
	char role[8];
	int running, end = 0;
	size_t i;

	if (sscanf(text, "%7s %32s %d %lld %lld %n", role, m.token, &running, &at, &after, &end) != 5 || !end)
		return false;
	for (i = ROLE_SOURCE; i < ARRAY_SIZE(roles); i++) {
		if (!strcmp(role, roles[i]))
			m.role = (enum move_role)i;
	}
	m.was_running = running != 0;
	m.at = at;
	m.after = after;
	snprintf(m.peer, sizeof(m.peer), "%s", text + end);
	*ret = m;
	return m.role != ROLE_NONE;
}

int mark_get(struct store_session *c, struct move_mark *ret, struct error *err)
{
	struct arena arena = ARENA_INIT;
	const char *text;
	int rc = store_note_get(c, NOTE, &arena, &text, err);

	if (!rc && !text)
		*ret = (struct move_mark){.role = ROLE_NONE};
	else if (!rc && !parse(text, ret))
		rc = error_set(err, ERR_CONFIG,
		               "the database is marked as part of a move, in a way that this herald does not "
		               "know");
	arena_release(&arena);
	return rc;
}

int mark_set(struct store_session *c, const struct move_mark *m, struct error *err)
{
	struct buf text cleanup(buf_release) = BUF_INIT;

	if (m->role == ROLE_NONE)
		return store_note_set(c, NOTE, NULL, err);
	buf_addf(&text, "%s %s %d %lld %lld %s", roles[m->role], m->token, m->was_running, (long long)m->at,
	         (long long)m->after, m->peer);
	return store_note_set(c, NOTE, text.data, err);
}

int move_check(struct store_session *c, struct error *err)
{
	struct move_mark m;
	char at[CLOCK_TEXT];
	int rc = mark_get(c, &m, err);

	if (rc || m.role == ROLE_NONE)
		return rc;
	clock_format(m.at, at);
	if (m.role == ROLE_SOURCE)
		return error_set(err, ERR_CONFIG,
		                 "the database is being moved to %s (since %s): wait, or run `herald move` again "
		                 "if that was interrupted, or give it up with `herald move --release`",
		                 m.peer, at);
	if (m.role == ROLE_LEFT)
		return error_set(err, ERR_CONFIG,
		                 "the database was moved to %s (%s): use that one; to use this one again, run "
		                 "`herald move --release`",
		                 m.peer, at);
	return error_set(err, ERR_CONFIG,
	                 "the database is an unfinished copy of %s (since %s): run `herald move` again, it goes "
	                 "on where it stopped",
	                 m.peer, at);
}
