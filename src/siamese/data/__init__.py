"""From an archive, or a folder of images, to prepared images and the pairs drawn from them."""
