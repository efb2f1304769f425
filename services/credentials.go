package services

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// credentialMost is systemd's limit, in bytes.
const credentialMost = 1 << 20

// loadCredentials copies the files of LoadCredential into dir, which only the
// user of cred can read, and returns the variable that names it. What was in dir
// before is removed. No error says what is in a file.
func (svc *Service) loadCredentials(dir string, cred *syscall.Credential) (env []string, err error) {
	if len(svc.LoadCredential) == 0 {
		return nil, nil
	}
	if err := removeCredentials(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeCredentials(dir))
		}
	}()
	err = errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.Mkdir(dir, 0o700))
	if err != nil {
		return nil, fmt.Errorf("making the directory of the credentials: %w", err)
	}
	for _, entry := range svc.LoadCredential {
		id, source, _ := strings.Cut(entry, ":")
		if err := loadCredential(filepath.Join(dir, id), source, cred); err != nil {
			return nil, fmt.Errorf("LoadCredential %s: %w", id, err)
		}
	}
	if err := give(dir, 0o500, cred); err != nil {
		return nil, fmt.Errorf("giving the credentials to their user: %w", err)
	}
	return []string{"CREDENTIALS_DIRECTORY=" + dir}, nil
}

func loadCredential(path, source string, cred *syscall.Credential) error {
	b, err := readSmall(source, credentialMost)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return err
	}
	return give(path, 0o400, cred)
}

// give sets owner and mode of what init itself has just made in a directory of
// its own. The mode comes first: afterwards it may no longer be init's to set.
func give(path string, mode fs.FileMode, cred *syscall.Credential) error {
	if err := os.Chmod(path, mode); err != nil || cred == nil {
		return err
	}
	return os.Lchown(path, int(cred.Uid), int(cred.Gid))
}

// removeCredentials removes what loadCredentials made.
func removeCredentials(dir string) error {
	if err := os.Chmod(dir, 0o700); err != nil && !errors.Is(err, fs.ErrPermission) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("removing the credentials: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing the credentials: %w", err)
	}
	return nil
}
