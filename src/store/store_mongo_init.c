/*
 * When libmongoc begins its work. It does so when it is loaded, by a constructor, and then keeps a file in
 * /dev/shm that a killed process leaves behind, and about which a later process of the same number complains:
 * in every process of ours, whichever database it is about. So the constructor, and the destructor, find these
 * functions in the place of the library's own, which are called when a MongoDB is to be opened.
 */
#include <dlfcn.h>
#include <string.h>

#include "alloc.h"
#include "store_mongo.h"

/* Seen by the library in spite of -fvisibility=hidden. */
#define IN_PLACE_OF_THE_LIBRARYS __attribute__((visibility("default")))

static bool wanted;

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
	if (wanted)
		call_real("mongoc_init");
}

IN_PLACE_OF_THE_LIBRARYS void mongoc_cleanup(void)
{
	if (wanted)
		call_real("mongoc_cleanup");
}

void mg_init(void)
{
	wanted = true;
	mongoc_init();
}
