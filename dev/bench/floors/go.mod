module floors

go 1.26
