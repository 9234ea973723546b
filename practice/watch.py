class Watch:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def words(self, error=None):
        return []
