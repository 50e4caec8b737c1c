module rivix/stress

go 1.19
