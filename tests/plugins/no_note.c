/* A shared object that is no plugin at all. */
int rpd_test_nothing(void);

int rpd_test_nothing(void)
{
    return 0;
}
