//go:build !embed

package main

import "io/fs"

// programs is nil: those beside this one are taken.
var programs fs.FS
