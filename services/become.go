package services

import "syscall"

// Become turns this process, which must not be a supervisor's, into another
// program. It returns where that cannot be executed.
func Become(path string, argv, environ []string) error {
	return execError(path, argv, environ, syscall.Exec(path, argv, environ))
}
