module line-union

go 1.24
