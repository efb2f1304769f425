package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// planArg is the plan that a verb is given, or else what nix build left here.
func planArg(args []string) string {
	if len(args) == 0 {
		return "result"
	}
	return args[0]
}

// planNames are what a plan may be called in a folder.
var planNames = []string{"plan.json", "image.json", "result"}

// find returns the file of a plan, given the file, a folder that holds it, or a link to
// either. A link into the store leads into that of --store where it has to.
func (a *app) find(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if inside, ok := a.inStore(path); ok {
			path = inside
			info, err = os.Stat(path)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("looking for the plan: there is no %s; name the file, or make one by nix build", path)
	}
	if err != nil {
		return "", fmt.Errorf("looking for the plan: %w", err)
	}
	if !info.IsDir() {
		return path, nil
	}
	for _, name := range planNames {
		if _, err := os.Lstat(filepath.Join(path, name)); err == nil {
			return a.find(filepath.Join(path, name))
		}
	}
	return "", fmt.Errorf("looking for the plan: the folder %s holds none of %s", path, strings.Join(planNames, ", "))
}

// inStore is where a store path, or a link to one, is in the store of --store.
func (a *app) inStore(path string) (string, bool) {
	if target, err := os.Readlink(path); err == nil {
		path = target
	}
	return a.store + path, a.store != "" && strings.HasPrefix(path, plan.StoreDir+"/")
}

// completePlan offers what may be a plan: JSON files, links that nix build left, folders.
func completePlan(_ *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	dir, base := filepath.Split(begin)
	from := dir
	if from == "" {
		from = "."
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list []string
	directive := cobra.ShellCompDirectiveNoFileComp
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, base) || base == "" && strings.HasPrefix(name, ".") {
			continue
		}
		switch {
		case e.IsDir():
			list = append(list, dir+name+"/")
			directive |= cobra.ShellCompDirectiveNoSpace
		case strings.HasSuffix(name, ".json"), strings.HasPrefix(name, "result"):
			list = append(list, dir+name)
		}
	}
	return list, directive
}
