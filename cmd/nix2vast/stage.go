package main

import (
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/plan"
	"github.com/fleek-platform/nix2vast/image/stage"
)

// stagedFolder is what stage tells of one folder, as JSON.
type stagedFolder struct {
	Folder string `json:"folder"`
	Holds  string `json:"holds"`
	Size   int64  `json:"size"` // about, in bytes
	Reused bool   `json:"reused"`
}

func (a *app) stageCommand() *cobra.Command {
	var folders int
	var dir string
	var asJSON bool
	c := &cobra.Command{
		Use: "stage [PLAN]", Short: "write the image as folders, for the COPY lines of a Dockerfile",
		Long: `Write the image as a fixed number of folders, DIR/00 and so on, one for each COPY line
of a Dockerfile. Files of the store are hard links where the system allows it.

Folders that are left over are empty. One that has in it already what it should is left
alone, so that the engine takes the layer of it from its cache. See Dockerfile.nix.`,
		Example: "  nix2vast image stage result --layers 16 --out out",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				return usagef("say with --out where the folders go")
			}
			if folders < 1 || folders > 100 {
				return usagef("--layers is %d, and may be 1 to 100", folders)
			}
			list, err := a.stage(cmd, planArg(args), dir, folders)
			if err != nil {
				return fmt.Errorf("staging the image: %w", err)
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), list)
			}
			t := table{right: []bool{false, true}}
			for _, f := range list {
				note := ""
				if f.Reused {
					note = "as it was"
				}
				t.add(f.Folder, size(f.Size), note, f.Holds)
			}
			t.write(cmd.OutOrStdout())
			return nil
		},
	}
	c.Flags().IntVar(&folders, "layers", stage.DefaultFolders, "how many folders")
	c.Flags().StringVarP(&dir, "out", "o", "", "`DIR` that the folders are made in")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func (a *app) stage(cmd *cobra.Command, path, dir string, n int) ([]stagedFolder, error) {
	file, err := a.find(path)
	if err != nil {
		return nil, err
	}
	p, err := plan.Read(file)
	if err != nil {
		return nil, err
	}
	folders, err := stage.Split(p, n)
	if err != nil {
		return nil, err
	}
	layers, err := layer.Plan(p)
	if err == nil {
		err = layer.Verify(cmd.Context(), layers, a.store, a.cache())
	}
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	reused, err := stage.Write(cmd.Context(), dir, folders, a.store, func(i int) {
		mu.Lock()
		defer mu.Unlock()
		if f := folders[i]; f.Key != "" {
			a.say(cmd, "folder %s: %s of %s", stage.FolderName(i), size(f.Size), f.Name)
		}
	})
	if err != nil {
		return nil, err
	}
	list := make([]stagedFolder, len(folders))
	for i, f := range folders {
		list[i] = stagedFolder{stage.FolderName(i), f.Name, f.Size, reused[i]}
	}
	return list, nil
}
