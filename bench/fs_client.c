/* The load: fs_client OPERATION COUNT PATH. r: open, read, close; p: pread of an open file; s: stat; w: open with
 * O_TRUNC, write "1", close.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int once(int operation, const char *path, int fd)
{
	char data[4096];
	struct stat s;
	int ok = 0;
	switch (operation) {
	case 'p': return pread(fd, data, sizeof data, 0) >= 0;
	case 's': return !stat(path, &s);
	case 'r': fd = open(path, O_RDONLY); ok = fd >= 0 && read(fd, data, sizeof data) >= 0; break;
	case 'w': fd = open(path, O_WRONLY | O_TRUNC); ok = fd >= 0 && write(fd, "1\n", 2) == 2; break;
	}
	close(fd);
	return ok;
}

int main(int argc, char **argv)
{
	int operation = argv[1][0], count = atoi(argv[2]), fd = open(argv[3], operation == 'w' ? O_WRONLY : O_RDONLY);
	for (int i = 0; i < count; i++)
		if (!once(operation, argv[3], fd)) { perror(argv[3]); return 1; }
	return 0;
}
