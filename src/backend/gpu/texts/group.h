/* Sums and maxima over a whole group of at most 256 threads. All of them must come by.
 * SPDX-License-Identifier: Apache-2.0 */
SHARED float group_part[32];

DEVICE float group_add(float x)
{
    float s = sub_add(x), all = 0.0f;
    if (sub_lane == 0) group_part[sub_id] = s;
    SYNC();
    for (int i = 0; i < GROUP / sub_size; i++) all += group_part[i];
    SYNC();
    return all;
}

DEVICE float group_max(float x)
{
    float s = sub_max(x);
    if (sub_lane == 0) group_part[sub_id] = s;
    SYNC();
    float most = group_part[0];
    for (int i = 1; i < GROUP / sub_size; i++) most = max(most, group_part[i]);
    SYNC();
    return most;
}
