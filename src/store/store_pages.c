/* What the pages and batches of store.h and store_records.h are emptied by. */
#include "store_records.h"

void claim_batch_release(struct claim_batch *b)
{
	arena_release(&b->arena);
	*b = (struct claim_batch){.n = 0};
}

void message_page_release(struct message_page *p)
{
	arena_release(&p->arena);
	*p = (struct message_page){.n = 0};
}

void attempt_page_release(struct attempt_page *p)
{
	arena_release(&p->arena);
	*p = (struct attempt_page){.n = 0};
}

void run_page_release(struct run_page *p)
{
	arena_release(&p->arena);
	*p = (struct run_page){.n = 0};
}

void job_page_release(struct job_page *p)
{
	arena_release(&p->arena);
	*p = (struct job_page){.n = 0};
}

void node_page_release(struct node_page *p)
{
	arena_release(&p->arena);
	*p = (struct node_page){.n = 0};
}

void record_page_release(struct record_page *p)
{
	arena_release(&p->arena);
	*p = (struct record_page){.n = 0};
}

void run_record_page_release(struct run_record_page *p)
{
	arena_release(&p->arena);
	*p = (struct run_record_page){.n = 0};
}

void job_record_page_release(struct job_record_page *p)
{
	arena_release(&p->arena);
	*p = (struct job_record_page){.n = 0};
}
