#include <stdio.h>

int main(void)
{
	puts("hello from " BUILD);
	return 0;
}
