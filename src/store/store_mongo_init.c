/*
 * When libmongoc begins its work. It does so when it is loaded, by a constructor, and then keeps a file in
 * /dev/shm that a killed process leaves behind, and about which a later process of the same number complains:
 * in every process of ours, whichever database it is about. So its constructor and its destructor find these
 * functions in the place of the library's own, which are called when somebody asks for them.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "alloc.h"
#include "store_mongo.h"

/* Seen by the library in spite of -fvisibility=hidden. */
#define IN_PLACE_OF_THE_LIBRARYS __attribute__((visibility("default")))

static bool loaded, begun;

/* The constructors of libraries run before those of the program. */
__attribute__((constructor)) static void all_are_loaded(void)
{
	loaded = true;
}

static void call_real(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);
	void (*real)(void);

	if (!found)
		panic("libmongoc has no %s", name);
	memcpy(&real, &found, sizeof(real)); /* C has no cast from data to code */
	real();
}

IN_PLACE_OF_THE_LIBRARYS void mongoc_init(void)
{
	if (!loaded)
		return;
	begun = true;
	call_real("mongoc_init");
}

IN_PLACE_OF_THE_LIBRARYS void mongoc_cleanup(void)
{
	if (begun)
		call_real("mongoc_cleanup");
}

static void init_once(void)
{
	mongoc_init();
	/* What goes wrong is returned to the caller, who logs it. */
	mongoc_log_set_handler(NULL, NULL);
}

void mg_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init_once);
}
