/*
 * A library that loads another one by its bare name, as libcuda.so.1 loads the
 * PTX compiler: the RUNPATH of the program that uses it has no say in that.
 */
#include <dlfcn.h>

const char *load(const char *name)
{
	return dlopen(name, RTLD_NOW) ? "loaded" : dlerror();
}
