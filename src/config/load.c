/*
 * Loading, in two steps: read all sources into lists of settings (those that may name a file or a preset
 * first), then apply the lists from the weakest to the strongest. Every setting is checked, also one
 * that a stronger source overrides: a wrong line is wrong today, not on the day when the override goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "alloc.h"
#include "dotenv.h"
#include "option.h"
#include "source.h"
#include "source_preset.h"
#include "text.h"

#define FILE_MAX ((size_t)1 << 20)
#define HOST_NAME_SIZE 256

/* 0, or an errno. EFBIG: larger than a configuration may be. */
static int read_file(const char *dir, const char *path, struct buf *out)
{
	int dir_fd = AT_FDCWD, fd, error = 0;
	ssize_t n;

	if (dir) {
		dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir_fd < 0)
			return errno;
	}
	fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	error = fd < 0 ? errno : 0;
	if (dir_fd >= 0)
		close(dir_fd);
	if (fd < 0)
		return error;
	do {
		buf_reserve(out, 16384);
		n = read(fd, out->data + out->len, 16384);
		if (n > 0) {
			out->len += (size_t)n;
			out->data[out->len] = '\0';
		} else if (n < 0 && errno != EINTR) {
			error = errno;
		}
		if (out->len > FILE_MAX)
			error = EFBIG;
	} while (error == 0 && n != 0);
	close(fd);
	return error;
}

static void release_text(struct buf *b)
{
	explicit_bzero(b->data, b->len);
	buf_release(b);
}

static void complain_unreadable(const char *path, int error, struct config_errors *errs)
{
	struct error why = ERROR_INIT;

	if (error == EFBIG)
		error_set(&why, ERR_CONFIG, "larger than %zu bytes", FILE_MAX);
	else
		error_errno(&why, ERR_CONFIG, error, "cannot be read");
	config_errors_add(errs, "%s: %s", path, why.text);
}

struct apply {
	struct config cfg;
	struct applied done;
	bool alias[CONFIG_COUNT];
	struct config_errors *errs;
};

static const char *name_of(const struct setting *s)
{
	return s->name ? s->name : s->alias ? options[s->id].alias : options[s->id].env;
}

/* Two values for one option in one source: which of them was meant cannot be known. Only a repeated flag
 * is a common habit (`herald serve --port 8080 "$@"`): the last one counts. */
static void check_repeated(struct apply *a, enum layer layer, const struct setting *s, const char *before)
{
	const struct option *o = &options[s->id];
	bool was_alias = a->alias[s->id];
	struct buf now = BUF_INIT;

	option_format(o, &a->cfg, &now);
	if (!text_equal(now.data, before) && !(layer == LAYER_FLAG && was_alias == s->alias)) {
		if (was_alias == s->alias)
			config_errors_add(a->errs, "%s: set to two different values (%s and %s)", name_of(s),
			                  a->cfg.origin[s->id], s->origin);
		else
			config_errors_add(a->errs,
			                  "%s and %s: set to different values (%s and %s); allowed: one of them",
			                  o->env, o->alias, a->cfg.origin[s->id], s->origin);
		a->done.faulty[s->id] = true;
	}
	release_text(&now);
}

static void apply_one(struct apply *a, enum layer layer, const struct setting *s)
{
	const struct option *o = &options[s->id];
	const usec_t unit = s->name ? s->unit : option_unit(o, s->alias);
	struct buf before = BUF_INIT;
	struct error err = ERROR_INIT;

	/* Files and compose templates leave names empty to say "not set". */
	if (s->len == 0 && o->fallback[0] && layer != LAYER_FLAG)
		return;
	option_format(o, &a->cfg, &before);
	if (option_parse(o, &a->cfg, s->text, s->len, unit, &err) != OK) {
		struct buf allowed = BUF_INIT;

		option_allowed(o, &allowed);
		config_errors_add(a->errs, "%s: %s (%s); allowed: %s", name_of(s), err.text, s->origin,
		                  allowed.data);
		buf_release(&allowed);
		a->done.faulty[s->id] = true;
	} else {
		if (a->done.layer[s->id] == layer && layer != LAYER_DEFAULT)
			check_repeated(a, layer, s, before.data);
		a->done.layer[s->id] = layer;
		a->done.filled[s->id] = s->len > 0 && layer != LAYER_DEFAULT;
		a->alias[s->id] = s->alias;
		free(a->cfg.origin[s->id]);
		a->cfg.origin[s->id] = xstrdup(s->origin);
	}
	release_text(&before);
}

static void apply_defaults(struct apply *a)
{
	for (int id = 0; id < CONFIG_COUNT; id++) {
		const struct option *o = &options[id];
		struct error err = ERROR_INIT;

		if (option_parse(o, &a->cfg, o->fallback, strlen(o->fallback), o->unit, &err) != OK)
			panic("default of %s: %s", o->env, err.text);
		a->cfg.origin[id] = xstrdup("default");
	}
}

int config_apply(struct config *ret, const struct settings *layers, const char *host_name,
                 struct config_errors *errs)
{
	struct apply a = {.errs = errs};

	apply_defaults(&a);
	for (int layer = LAYER_PRESET; layer < LAYER_COUNT; layer++)
		for (size_t i = 0; i < layers[layer].n; i++)
			apply_one(&a, (enum layer)layer, &layers[layer].at[i]);
	config_complete(&a.cfg, &a.done, host_name, errs);
	if (errs->n > 0) {
		config_release(&a.cfg);
		return ERR_CONFIG;
	}
	*ret = a.cfg;
	return OK;
}

/* --- which preset, and its file ------------------------------------------------------------------------ */

struct loading {
	const struct config_sources *src;
	struct settings layers[LAYER_COUNT];
	struct buf dotenv;
	const struct config_preset *preset;
	struct config_errors *errs;
};

/* An option's text from the strongest of the lists that has it, or NULL. */
static const struct setting *find_setting(const struct loading *l, enum config_id id)
{
	for (int layer = LAYER_FLAG; layer > LAYER_DEFAULT; layer--)
		for (size_t i = l->layers[layer].n; i > 0; i--)
			if (l->layers[layer].at[i - 1].id == id)
				return &l->layers[layer].at[i - 1];
	return NULL;
}

static const char *find_text(const struct loading *l, enum config_id id)
{
	const struct setting *s = find_setting(l, id);

	return s && s->len ? s->text : NULL;
}

static void unknown_preset(const struct loading *l, const struct setting *s)
{
	struct buf names = BUF_INIT;

	for (const struct config_preset *const *p = l->src->presets; p && *p; p++)
		buf_addf(&names, "%s%s", p == l->src->presets ? "" : p[1] ? ", " : " or ", (*p)->name);
	config_errors_add(l->errs, "%s: \"%.64s\" is no profile (%s); allowed: %s", options[CONFIG_profile].env,
	                  s->text, s->origin, names.len ? names.data : "none in this build");
	buf_release(&names);
}

struct wanted {
	const char *name;
	char *value;
};

static void keep_wanted(void *arg, size_t line maybe_unused, const char *name, const char *value, size_t len)
{
	struct wanted *w = arg;

	if (!value || !text_equal(name, w->name))
		return;
	free(w->value);
	w->value = xstrndup(value, len);
}

static void ignore_error(void *arg maybe_unused, size_t line maybe_unused, const char *what maybe_unused)
{
}

/* The variable as the environment or .env has it; NULL: it is not set. */
static char *find_variable(const struct loading *l, const char *name)
{
	struct wanted w = {.name = name};
	const struct dotenv_handler h = {.pair = keep_wanted, .error = ignore_error, .arg = &w};
	const size_t len = strlen(name);

	for (char *const *env = l->src->environ; env && *env; env++)
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=' && (*env)[len + 1])
			return xstrdup(*env + len + 1);
	dotenv_parse(l->dotenv.data, l->dotenv.len, &h);
	return w.value;
}

static bool is_word_of(const char *list, const char *word)
{
	const size_t len = strlen(word);

	for (; *list; list += strspn(list, " ")) {
		const size_t n = strcspn(list, " ");

		if (n == len && memcmp(list, word, len) == 0)
			return true;
		list += n;
	}
	return false;
}

/* The text for '*' in the file's paths; NULL: wrong, and said so. */
static char *selected(const struct loading *l, const struct preset_file *f, bool *ret_asked)
{
	char *word = f->select ? find_variable(l, f->select) : NULL;

	*ret_asked = word != NULL;
	if (!word)
		return xstrdup(f->select_default ? f->select_default : "");
	if (is_word_of(f->select_allowed, word))
		return word;
	config_errors_add(l->errs, "%s: \"%.64s\" is not a known value; allowed: %s", f->select, word,
	                  f->select_allowed);
	free(word);
	return NULL;
}

static bool is_json(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && strcasecmp(dot, ".json") == 0;
}

static void read_preset_text(struct loading *l, const char *path, struct buf *text)
{
	source_preset_text(&l->layers[LAYER_PRESET_FILE], l->preset, path, is_json(path), text->data, text->len,
	                   l->errs);
}

/* Reads the first of its usual places where there is a file. */
static void find_preset_file(struct loading *l, const struct preset_file *f)
{
	bool asked, found = false;
	char *word = selected(l, f, &asked);

	for (size_t i = 0; word && f->paths[i] && !found; i++) {
		const char *star = strchr(f->paths[i], '*');
		char *path = star ? xasprintf("%.*s%s%s", (int)(star - f->paths[i]), f->paths[i], word, star + 1)
		                  : xstrdup(f->paths[i]);
		struct buf text = BUF_INIT;
		int error = read_file(l->src->dir, path, &text);

		found = error != ENOENT && error != ENOTDIR && error != EISDIR;
		if (error == 0)
			read_preset_text(l, path, &text);
		else if (found)
			complain_unreadable(path, error, l->errs);
		release_text(&text);
		free(path);
	}
	if (word && asked && !found)
		config_errors_add(l->errs, "%s: \"%.64s\" has no configuration file; looked for the first of %s", f->select,
		                  word, f->paths[0]);
	free(word);
}

static void load_preset(struct loading *l)
{
	const struct setting *name = find_setting(l, CONFIG_profile);
	const struct preset_file *f;
	const char *path;
	struct buf text = BUF_INIT;
	int error;

	if (!name || !name->len)
		return;
	l->preset = preset_find(l->src->presets, name->text);
	if (!l->preset) {
		unknown_preset(l, name);
		return;
	}
	source_preset_values(&l->layers[LAYER_PRESET], l->preset);
	f = l->preset->file;
	path = find_text(l, CONFIG_profile_config);
	if (f && !path) {
		find_preset_file(l, f);
	} else if (f) {
		error = read_file(l->src->dir, path, &text);
		if (error == 0)
			read_preset_text(l, path, &text);
		else
			complain_unreadable(path, error, l->errs);
		release_text(&text);
	} else if (path) {
		config_errors_add(l->errs, "PROFILE_CONFIG: set, but the profile %s reads no file of its own", name->text);
	}
}

/* --- the whole ------------------------------------------------------------------------------------------ */

/* The variables under herald's own names alone: enough to learn which files and which preset there are. What is
 * wrong with them is said when they are read for good. */
static void peek(struct loading *l)
{
	struct config_errors later = CONFIG_ERRORS_INIT;

	source_environ(&l->layers[LAYER_ENVIRON], NULL, l->src->environ, &later);
	source_dotenv(&l->layers[LAYER_DOTENV], NULL, ".env", l->dotenv.data, l->dotenv.len, &later);
	config_errors_release(&later);
}

static void load_variables(struct loading *l)
{
	settings_release(&l->layers[LAYER_ENVIRON]);
	settings_release(&l->layers[LAYER_DOTENV]);
	source_environ(&l->layers[LAYER_ENVIRON], l->preset, l->src->environ, l->errs);
	source_dotenv(&l->layers[LAYER_DOTENV], l->preset, ".env", l->dotenv.data, l->dotenv.len, l->errs);
}

static void load_yaml(struct loading *l)
{
	const char *path = find_text(l, CONFIG_config_file);
	struct buf text = BUF_INIT;
	int error;

	if (!path)
		return;
	error = read_file(l->src->dir, path, &text);
	if (error == 0)
		source_yaml(&l->layers[LAYER_YAML], path, text.data, text.len, l->errs);
	else
		complain_unreadable(path, error, l->errs);
	release_text(&text);
}

int config_load(struct config *ret, struct config_sources *src, struct config_errors *errs)
{
	struct loading l = {.src = src, .dotenv = BUF_INIT, .errs = errs};
	char host[HOST_NAME_SIZE] = "";
	const char *host_name = src->host_name;
	int r, error;

	source_flags(&l.layers[LAYER_FLAG], src, errs);
	error = read_file(src->dir, ".env", &l.dotenv);
	/* A directory named .env is a Python environment, not ours. */
	if (error != 0 && error != ENOENT && error != EISDIR)
		complain_unreadable(".env", error, errs);
	if (error != 0)
		buf_clear(&l.dotenv);
	peek(&l);
	load_yaml(&l);
	load_preset(&l);
	load_variables(&l);
	if (!host_name) {
		if (gethostname(host, sizeof(host) - 1) != 0)
			host[0] = '\0';
		host_name = host;
	}
	r = config_apply(ret, l.layers, host_name, errs);
	for (int layer = 0; layer < LAYER_COUNT; layer++)
		settings_release(&l.layers[layer]);
	release_text(&l.dotenv);
	return r;
}

void config_release(struct config *cfg)
{
	for (int id = 0; id < CONFIG_COUNT; id++) {
		option_release(&options[id], cfg);
		free(cfg->origin[id]);
	}
	memset(cfg, 0, sizeof(*cfg));
}
