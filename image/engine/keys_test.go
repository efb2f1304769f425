package engine

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const (
	key1 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8V8kTQqBqLG2YjXQyq2qcJqPzPLbcHEl4YqfTIv1m3"
	key2 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPkJ3hIhWX0GdE8pBxdHhq0lJ5m4V0vY8d2mH3k9Qw7e"
)

func TestKeys(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(t.TempDir(), "no-agent"))
	home := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	check := func(files []string, want ...string) {
		t.Helper()
		got, err := Keys(t.Context(), home, files)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	check(nil)
	write(".ssh/id_ed25519.pub", key1+" me@here\n")
	write(".ssh/id_rsa.pub", "# mine\r\n"+key1+" again\r\n"+key2+"\r\nnonsense\n")
	write(".ssh/other.pub", key2)
	check(nil, key1+" me@here", key2)
	file := write("key.pub", key2+" him")
	check([]string{file}, key2+" him")

	for text, want := range map[string]string{
		"-----BEGIN OPENSSH PRIVATE KEY-----\n": "is a private key, which stays here",
		"hello\n":                               "holds no public key",
	} {
		_, err := Keys(t.Context(), home, []string{write("bad", text)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Keys(t.Context(), home, []string{home + "/absent"}); err == nil || !strings.Contains(err.Error(), "absent: no such file") {
		t.Error(err)
	}
}
