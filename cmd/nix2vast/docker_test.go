package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// installed is docker, or podman where docker does not answer.
func installed() string {
	if exec.Command("docker", "version").Run() == nil {
		return "docker"
	}
	return "podman"
}

func engineRun(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(installed(), args...)
	// Docker's old builder has no --link and needs no plugin.
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", args, err, out, &errs)
	}
	return strings.TrimSpace(string(out))
}

// stagedImage makes an image of a staged plan, by the COPY lines of Dockerfile.nix.
func stagedImage(t *testing.T, store, path, dir, tag string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{}
	args := []string{"image", "stage", store + path, "--store", store, "--out", dir}
	if code := a.run(context.Background(), args, &out, &errs); code != 0 {
		t.Fatalf("stage: %s", &errs)
	}
	template, err := os.ReadFile("../../Dockerfile.nix")
	if err != nil {
		t.Fatal(err)
	}
	// A label of its own, as another run beside this one may remove what both have.
	text := fmt.Sprintf("FROM scratch\nLABEL run=%d\n", os.Getpid())
	for _, line := range regexp.MustCompile(`(?m)^(COPY --link .*|ENTRYPOINT .*)$`).FindAllString(string(template), -1) {
		text += strings.NewReplacer("--link --from=build ", "", "/out/", "").Replace(line) + "\n"
	}
	file := filepath.Join(t.TempDir(), "Dockerfile")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	engineRun(t, "build", "-q", "--rm", "-t", tag, "-f", file, dir)
	t.Cleanup(func() { engineRun(t, "image", "rm", "-f", tag) })
}

// TestDockerfileMakesTheImage holds that the COPY lines make the tree that was staged, that
// it boots, and that an edit of the root file system makes one new layer.
func TestDockerfileMakesTheImage(t *testing.T) {
	s := newNixStore(t)
	dir := filepath.Join(s.dir, "out")
	name := fmt.Sprintf("nix2vast-stage-%d", os.Getpid())
	store, path := s.build("one", "hello")
	stagedImage(t, store, path, dir, name+":one")
	if out := engineRun(t, "run", "--rm", "--network", "none", name+":one"); out != "hello" {
		t.Errorf("the container says %q", out)
	}
	sameTree(t, name+":one", dir)
	first := layersOf(t, name+":one")

	_, path = s.build("one", "hello", "--argstr", "motd", "welcome")
	stagedImage(t, store, path, dir, name+":two")
	second := layersOf(t, name+":two")
	// Of this small image all but a few folders are empty, and those make no layers.
	top := len(first) - 1
	if top < 2 || len(second) != len(first) || !slices.Equal(first[:top], second[:top]) || first[top] == second[top] {
		t.Errorf("after an edit of the root file system the layers are\n%v\nand were\n%v", second, first)
	}
}

func layersOf(t *testing.T, tag string) (list []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(engineRun(t, "image", "inspect", "--format", "{{json .RootFS.Layers}}", tag)), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// sameTree compares what a container of the image holds with what was staged.
func sameTree(t *testing.T, tag, dir string) {
	t.Helper()
	box := engineRun(t, "create", "--network", "none", tag)
	defer engineRun(t, "rm", "-f", box)
	archive := filepath.Join(t.TempDir(), "box.tar")
	engineRun(t, "export", "-o", archive, box)
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := map[string]string{}
	for in := tar.NewReader(f); ; {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got[strings.TrimSuffix(h.Name, "/")] = fmt.Sprintf("%c %o %d:%d %d %s", h.Typeflag, h.Mode&0o7777, h.Uid, h.Gid, h.Size, h.Linkname)
	}
	count := 0
	folders, err := filepath.Glob(filepath.Join(dir, "[0-9][0-9]"))
	if err != nil || len(folders) != 16 {
		t.Fatalf("there are %d folders, %v", len(folders), err)
	}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || path == folder {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(folder, path) // path is below folder
			kind, size, link := byte(tar.TypeReg), info.Size(), ""
			switch {
			case d.IsDir():
				kind, size = tar.TypeDir, 0
			case info.Mode()&fs.ModeSymlink != 0:
				kind, size = tar.TypeSymlink, 0
				link, err = os.Readlink(path)
			}
			want := fmt.Sprintf("%c %o 0:0 %d %s", kind, info.Sys().(*syscall.Stat_t).Mode&0o7777, size, link)
			if got[name] != want {
				t.Errorf("/%s is %q in the container, want %q", name, got[name], want)
			}
			count++
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if count < 15 {
		t.Errorf("only %d files were compared", count)
	}
}
