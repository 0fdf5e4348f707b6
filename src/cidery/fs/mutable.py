from cidery.fs.content import IPFSFileSystem as CideryFileSystem
