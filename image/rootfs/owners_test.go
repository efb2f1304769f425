package rootfs

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What belongs to others than root is told beside the tree, which a store gives to root.
func TestOwners(t *testing.T) {
	store, options := fixture(t)
	text := ""
	options.Files = map[string]File{
		"/srv/site":     {Source: pkg("site-1"), UID: 1000, GID: 100},
		"/etc/app/conf": {Text: &text, GID: 43},
		"/etc/app/mine": {Text: &text},
	}
	options.Directories = map[string]Directory{"/var/lib/app": {UID: 1000}, "/srv/site/deep": {UID: 1000, GID: 100}}
	out, _, _, err := built(t, store, options)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Dir(out) + "/owners")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"/etc/app/conf": "0:43", "/var/lib/app": "1000:0", "/srv/site": "1000:100", "/srv/site/deep": "1000:100",
		"/srv/site/deep/er": "1000:100", "/srv/site/deep/er/file": "1000:100", "/srv/site/bin": "1000:100",
		"/srv/site/bin/tool": "1000:100", "/srv/site/index.html": "1000:100", "/srv/site/home.html": "1000:100",
	}
	if !maps.Equal(got, want) {
		t.Errorf("the owners are %v, want %v", got, want)
	}
}

func TestBadOwners(t *testing.T) {
	store, options := fixture(t)
	text := ""
	options.Files = map[string]File{"/etc/low": {Text: &text, UID: -1}, "/etc/high": {Text: &text, GID: 1_000_000_000}}
	options.Directories = map[string]Directory{"/srv/x": {GID: -5}}
	_, _, _, err := built(t, store, options)
	for _, want := range []string{
		`files."/etc/low": its owner -1:0 is not of numbers from 0 to 999999999`,
		`files."/etc/high": its owner 0:1000000000 is not of numbers`, `directories."/srv/x": its owner 0:-5 is not of numbers`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the problems are %v, want %s", err, want)
		}
	}
}

func TestRootPassword(t *testing.T) {
	for hash, good := range map[string]bool{
		"$y$j9T$WFoiErKnEnMcGq0ruQK4K.$4nJAY3LBeBsZBTYSkdTOejKU6KlDmhnfUV3Ll1K/1b.": true,
		"$6$saltsalt$" + strings.Repeat("a", 86):                                    true,
		"$2b$12$" + strings.Repeat("b", 53):                                         true,
		"correct horse battery staple":                                              false,
		"$1$saltsalt$" + strings.Repeat("a", 22):                                    false, // MD5
		"$6$saltsalt$" + strings.Repeat("a", 86) + ":0":                             false,
	} {
		store, options := fixture(t)
		options.RootPassword = hash
		out, _, _, err := built(t, store, options)
		if !good {
			if err == nil || !strings.Contains(err.Error(), "is no hash of crypt(5)") || strings.Contains(err.Error(), hash) {
				t.Errorf("%s: %v", hash, err)
			}
			continue
		}
		if shadow, _ := os.ReadFile(out + "/etc/shadow"); err != nil || !strings.HasPrefix(string(shadow), "root:"+hash+":1:0:99999:7:::\nsshd:*:") {
			t.Errorf("%v, the passwords are\n%s", err, shadow)
		}
	}
}
